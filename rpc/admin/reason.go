package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/placement"
)

// inSync tells whether the leader has heard that a replica is caught up, as itself always is, and the replica's broker
// lives. Only with a status.
func (v *view) inSync(r placement.Replica, alive func(int32) bool) bool {
	return r.Broker == v.leader || alive(r.Broker) && slices.Contains(v.status.InSync, r.ID)
}

// reason tells why the partition is leaderless or under-replicated; empty if it is neither.
func (v *view) reason(alive func(int32) bool) string {
	if r := v.leaderless(alive); r != "" {
		return r
	}
	return v.underReplicated(alive)
}

// leaderless tells why there is no leader; empty if there is one.
func (v *view) leaderless(alive func(int32) bool) string {
	if v.led {
		return ""
	}
	var dead []string
	voters := 0
	for _, r := range v.place.Replicas {
		if r.Learner {
			continue
		}
		voters++
		if !alive(r.Broker) {
			dead = append(dead, fmt.Sprint(r.Broker))
		}
	}
	switch {
	case voters == 0:
		return "it has no voters"
	case voters-len(dead) <= voters/2:
		return fmt.Sprintf("no quorum: %d of %d replicas are on silent brokers (%s); start them", len(dead), voters, strings.Join(dead, ", "))
	case len(dead) > 0:
		return fmt.Sprintf("no leader is known: an election should be under way among the other replicas; silent brokers: %s", strings.Join(dead, ", "))
	}
	return "no leader is known: an election should be under way"
}

// underReplicated tells why fewer replicas than planned have all of the data; empty if all have, or without a leader.
func (v *view) underReplicated(alive func(int32) bool) string {
	if !v.led {
		return ""
	}
	var why []string
	if v.status == nil {
		s := fmt.Sprintf("its leader, broker %d, does not tell who is in sync", v.leader)
		if v.silence != "" {
			s += ": " + v.silence
		} else {
			s += ": the leadership is changing"
		}
		why = append(why, s)
	}
	for _, r := range v.place.Replicas {
		switch {
		case !alive(r.Broker):
			why = append(why, fmt.Sprintf("broker %d is silent", r.Broker))
		case r.Learner:
			why = append(why, fmt.Sprintf("the replica on broker %d is a learner that is catching up", r.Broker))
		case v.status != nil && !v.inSync(r, alive):
			why = append(why, fmt.Sprintf("the replica on broker %d is behind the leader", r.Broker))
		}
	}
	return strings.Join(why, "; ")
}
