package agent

import "fmt"

// CaughtUp tells whether this broker is done with its start: it has a state, has opened its replicas, and each has
// applied what its log knows as committed and knows a leader. If not, the text says what is awaited. Once true it stays
// true: what happens to other brokers later is no fault of this one. Quarantined
// replicas are not waited for, nor those that are being moved here.
func (a *Agent) CaughtUp() (bool, string) {
	a.mu.Lock()
	if a.caughtUp {
		a.mu.Unlock()
		return true, ""
	}
	a.mu.Unlock()
	// Asked before the state is looked at: what is current now is in latest.
	if a.cfg.StateCurrent != nil {
		if ok, why := a.cfg.StateCurrent(); !ok {
			return false, why
		}
	}
	a.mu.Lock()
	why := a.awaitedLocked()
	var open []*live
	if why == "" {
		for _, r := range a.replicas {
			if r.live != nil && r.want == wantRun && !r.joining && !r.stray {
				open = append(open, r.live)
			}
		}
	}
	a.mu.Unlock()
	if why != "" {
		return false, why
	}
	behind, leaderless, example := 0, 0, ""
	for _, r := range open {
		st := r.status()
		switch {
		case st.lost: // its group has other replicas, and waiting would not bring it back
			continue
		case st.applied < st.commit:
			behind++
		case !st.hasLeader:
			leaderless++
		default:
			continue
		}
		if name := r.name(); example == "" || name < example {
			example = name
		}
	}
	if behind+leaderless > 0 {
		return false, fmt.Sprintf("of %d replicas, %d are applying their log and %d know no leader yet (such as %s)", len(open), behind, leaderless, example)
	}
	a.mu.Lock()
	a.caughtUp = true
	a.mu.Unlock()
	return true, ""
}

// awaitedLocked tells what must still happen before the replicas' own state is worth asking.
func (a *Agent) awaitedLocked() string {
	s := a.latest.Load()
	switch {
	case a.foreign != "":
		return a.foreign
	case !a.started || s.Revision == 0:
		return "no cluster state yet"
	case s.Brokers[a.cfg.BrokerID] == nil:
		return fmt.Sprintf("the cluster state does not name broker %d yet", a.cfg.BrokerID)
	case a.compared != s.Revision:
		return "a new cluster state is being compared with the replicas here"
	}
	opening, fault := 0, ""
	for _, r := range a.replicas {
		if r.want != wantRun || r.live != nil || r.lost != "" || r.joining || r.stray || r.yields {
			continue
		}
		opening++
		if r.fault != "" {
			fault = fmt.Sprintf("; %s: %s", r.name(), r.fault)
		}
	}
	if opening > 0 {
		return fmt.Sprintf("%d of %d replicas are not open yet%s", opening, len(a.replicas), fault)
	}
	return ""
}
