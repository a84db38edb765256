package multiraft

import "time"

// nurseEvery is how often leaders are looked at.
const nurseEvery = 250 * time.Millisecond

// ticker is the beat task's own state.
type ticker struct {
	tick, beat time.Duration
	next       time.Time // of the next heartbeat
	round      uint64    // heartbeats so far; picks the groups that tick in it
	nursed     time.Time // when the leaders were looked at
}

// runBeat is the host's one ticker. It runs each HeartbeatInterval, when an election is due, and at once when a broker came
// or went or leadership changed here.
func (h *Host) runBeat() {
	if !h.started.Load() {
		return
	}
	now := h.env.Now()
	t := &h.ticker
	early := h.early.Swap(false)
	beat := !now.Before(t.next) || early
	if beat {
		late := now.Sub(t.next)
		if !t.next.IsZero() && late > t.beat {
			// This process itself was stalled. Packets that lie in its sockets were not read, so silence is no evidence.
			h.live.forgive(late)
		}
		t.next = now.Add(t.beat)
		h.nextBeat.Store(t.next.UnixNano())
		t.round++
	}
	for _, e := range h.live.events(now) {
		h.brokerChanged(e)
	}
	h.flushLeaders(now)
	if beat {
		h.sendHeartbeats(now)
		h.tickGroups(now)
	}
	due := h.elections.run(now)
	if h.leaders.takeChanged() {
		h.watchers.call()
	}
	if flush := h.leaders.flushAt(); !flush.IsZero() && (due.IsZero() || flush.Before(due)) {
		due = flush
	}
	if due.IsZero() || due.After(t.next) {
		due = t.next
	}
	wait := max(due.Sub(now), minBeat)
	if h.timer == nil {
		h.timer = h.env.AfterFunc(wait, h.beat.Wake)
	} else {
		h.timer.Reset(wait)
	}
}

// inStep has this broker send its heartbeats now if those of the pacemaker came, so that all brokers do it at the same moments: at rest
// most of what a heartbeat costs is to wake a process, and a broker is then woken for all of them at once. Brokers that all pulled each
// other would beat faster and faster over a slow network.
func (h *Host) inStep(from int32) {
	in := time.Duration(h.nextBeat.Load() - h.env.Now().UnixNano())
	if in > 0 && in < h.ticker.beat*9/10 && from == h.live.pacemaker() && !h.early.Swap(true) {
		h.beat.Wake()
	}
}

// minBeat keeps a due time that was missed from spinning.
const minBeat = time.Millisecond

// sendHeartbeats sends each broker a heartbeat, with the raft heartbeats that wait for one.
func (h *Host) sendHeartbeats(now time.Time) {
	for _, id := range h.live.brokers() {
		h.sendHeartbeat(id, now)
	}
}

func (h *Host) sendHeartbeat(to int32, now time.Time) {
	p := &Packet{Heartbeat: h.live.heartbeat(to, now), Messages: h.out.takeHeld(to), NoLead: h.out.owedTo(to)}
	h.leaders.fill(to, p, now)
	if h.out.packet(to, LaneControl, p) {
		h.out.told(to, now)
		return
	}
	if p.LeadersFull {
		h.leaders.lost(to)
	}
}

// flushLeaders sends the changes of leadership that are due.
func (h *Host) flushLeaders(now time.Time) {
	deltas, seq := h.leaders.take(now)
	if len(deltas) == 0 {
		return
	}
	for _, id := range h.live.brokers() {
		if !h.out.packet(id, LaneControl, &Packet{Leaders: deltas, LeadersSeq: seq}) {
			h.leaders.lost(id)
		}
	}
}

// tickGroups gives each group its slow tick once a TickInterval, a part of the groups at each heartbeat. Each nurseEvery it looks
// for leaders that cannot do their work, and for those that wait in vain.
func (h *Host) tickGroups(now time.Time) {
	phases := max(uint64(h.ticker.tick/h.ticker.beat), 1)
	phase := h.ticker.round % phases
	groups := h.groups.all()
	// By position, not by id: the others are not even looked at, and with ten thousand groups looking is most of the work. A group
	// that moves up or down in the list ticks a little earlier or later once.
	for i := phase; i < uint64(len(groups)); i += phases {
		groups[i].tick()
	}
	if now.Sub(h.ticker.nursed) < nurseEvery {
		return
	}
	h.ticker.nursed = now
	heard := h.live.allWithin(now, quorumLostAfter)
	for _, g := range groups {
		if at := g.nurseAt.Load(); at != 0 && now.UnixNano() >= at {
			g.nurse()
		}
		v := g.view.Load()
		if v.role != RoleLeader {
			h.doubtLeader(g, v, now)
			h.openAgain(g, v, now)
			continue
		}
		if age := g.appends.age(now); age > stallAfter {
			g.stall("it has not finished an append for "+age.String(), nil)
		}
		// As long as the others have no space either, none of them could say that it leads, and reads need a leader.
		if first := g.appends.short.Load(); first != 0 && g.status.commit() >= first {
			g.stall("it is full, and others have written what it could not", func() bool {
				first := g.appends.short.Load()
				return first != 0 && g.commit >= first
			})
		}
		// Votes came from a majority when it began to lead, heartbeats may not have yet.
		if !heard.covers(g, v) && now.Sub(v.since) >= quorumLostAfter && !h.live.quorumWithin(v.conf, g.members.get(), g.replica, now, quorumLostAfter) {
			g.quorumLost(v.term)
		}
	}
}

// brokerChanged tells the groups that a broker came or went.
func (h *Host) brokerChanged(e peerEvent) {
	for _, g := range h.groups.all() {
		v := g.view.Load()
		switch {
		case v.role == RoleLeader:
			g.peerChanged(e)
		case v.leadBroker == e.broker && (e.down || e.restarted):
			g.leaderGone(v.lead, v.term)
		case v.leadBroker == e.broker && e.reached:
			g.leaderReached(v.lead, v.term)
		}
	}
	if e.restarted || e.up {
		// Let it know at once that it is heard: it may wait for a majority to elect a leader.
		h.sendHeartbeat(e.broker, h.env.Now())
	}
	h.elections.reconsider()
}
