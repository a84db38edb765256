package gossip

import (
	"fmt"
	"slices"
	"strings"
)

// Action is what a starting broker does next.
type Action int

// The actions.
const (
	Wait  Action = iota // do nothing now; decide again when the members change
	Found               // make a new cluster
	Join                // belong to the cluster named in the decision
)

// String names the action in lower case.
func (a Action) String() string {
	switch a {
	case Found:
		return "found"
	case Join:
		return "join"
	default:
		return "wait"
	}
}

// Decision is the answer of Decide.
type Decision struct {
	Action    Action
	ClusterID string   // Join: the cluster
	Via       []Member // Join: members that know that cluster, to ask for admission; not oneself
	Reason    string   // for a person: why, and what is missing
	// Conflict: members of more than one cluster see each other. Somebody mixed up two clusters' seeds: it needs a person.
	Conflict bool
}

// Decide says whether a broker founds a cluster, joins one or waits. It is pure. resolved gives, for each seed that
// could be resolved, its ip:port, or several parted by commas; members may include self.
//
// The rule: data decides first, then what others know. An empty broker founds only if it has no seeds, or if it is the
// first seed and every seed is seen with an empty disk and the same list. A majority is not enough: two wiped seeds of
// three would found a second cluster beside the third one's data.
func Decide(seeds []string, resolved map[string]string, self Member, members []Member) Decision {
	others := make([]Member, 0, len(members))
	for _, m := range newestBoots(append(slices.Clone(members), self)) {
		if m.Nonce != self.Nonce {
			others = append(others, m)
		}
	}
	known := map[string][]Member{}
	for _, m := range others {
		if m.ClusterID != "" {
			known[m.ClusterID] = append(known[m.ClusterID], m)
		}
	}
	if self.ClusterID != "" {
		return decideWithData(self, known)
	}
	if len(seeds) == 0 {
		return Decision{Action: Found, Reason: "no seeds are configured: this broker is a cluster of its own"}
	}
	switch len(known) {
	case 0:
		return decideFounding(seeds, resolved, self, others)
	case 1:
		for id, via := range known {
			return Decision{Action: Join, ClusterID: id, Via: via, Reason: fmt.Sprintf("%s belongs to cluster %s", via[0].describe(), id)}
		}
	}
	return Decision{Action: Wait, Conflict: true, Reason: "brokers of different clusters are visible (" + describeClusters(known) +
		"): this broker joins neither; correct seeds so that it names one cluster only"}
}

func decideWithData(self Member, known map[string][]Member) Decision {
	d := Decision{Action: Join, ClusterID: self.ClusterID, Via: known[self.ClusterID], Reason: "this broker's disk belongs to cluster " + self.ClusterID}
	delete(known, self.ClusterID)
	if len(known) > 0 {
		d.Conflict = true
		d.Reason += ", but brokers of other clusters are visible (" + describeClusters(known) + "): correct seeds so that it names one cluster only"
	}
	return d
}

// decideFounding is for an empty self among members none of whom knows a cluster.
func decideFounding(seeds []string, resolved map[string]string, self Member, others []Member) Decision {
	wait := func(format string, args ...any) Decision {
		return Decision{Action: Wait, Reason: fmt.Sprintf(format, args...)}
	}
	if !self.Empty {
		return wait("this broker's disk holds data but names no cluster, so it may only join: waiting for a broker that knows one; if none will come, restore its meta.db, or move its data folder away")
	}
	var missing, full []string
	var first Member
	bySeed := map[uint64]string{}
	for i, seed := range seeds {
		if slices.Contains(seeds[:i], seed) {
			continue // the same text twice is one seed
		}
		m, ok := seedMember(resolved[seed], self, others)
		switch {
		case !ok && resolved[seed] == "":
			missing = append(missing, seed+" (not resolved yet)")
		case !ok:
			missing = append(missing, seed+" (no answer from "+resolved[seed]+")")
		case bySeed[m.Nonce] != "":
			return wait("seeds %s and %s are the same broker (%s): name each broker once in seeds", bySeed[m.Nonce], seed, m.Addr)
		default:
			bySeed[m.Nonce] = seed
			if !m.Empty {
				full = append(full, seed)
			}
		}
		if i == 0 {
			first = m
		}
	}
	// A broker with another list might found from its own: never two at once, whether or not it is one of our seeds.
	for _, m := range others {
		if m.SeedsHash != self.SeedsHash {
			return wait("%s has another list of seeds than this broker: give all brokers the same list in the same order", m.describe())
		}
	}
	switch {
	case len(missing) > 0:
		return wait("not all seeds are seen yet, and only all of them together may found a cluster: missing %s", strings.Join(missing, ", "))
	case len(full) > 0:
		return wait("seeds %s hold data but name no cluster: waiting for a broker that knows one; if none will come, restore their meta.db, or move their data folders away", strings.Join(full, ", "))
	case first.Nonce != self.Nonce:
		return wait("all seeds are seen and empty: waiting for the first one, %s, to found the cluster", seeds[0])
	}
	return Decision{Action: Found, Reason: fmt.Sprintf("this broker is the first of %d seeds, all of them seen, empty and of the same list", len(bySeed))}
}

// seedMember finds the member that a seed's addresses belong to.
func seedMember(addrs string, self Member, others []Member) (Member, bool) {
	if addrs == "" {
		return Member{}, false
	}
	for _, a := range strings.Split(addrs, ",") {
		if a == self.Addr {
			return self, true
		}
		for _, m := range others {
			if m.Addr == a {
				return m, true
			}
		}
	}
	return Member{}, false
}

func (m Member) describe() string {
	if m.BrokerID != 0 {
		return fmt.Sprintf("broker %d (%s)", m.BrokerID, m.Addr)
	}
	return "the broker at " + m.Addr
}

func describeClusters(known map[string][]Member) string {
	var parts []string
	for id, ms := range known {
		parts = append(parts, fmt.Sprintf("cluster %s: %s", id, ms[0].describe()))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}
