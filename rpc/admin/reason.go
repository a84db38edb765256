package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// inSync tells whether the leader has heard that a replica is caught up, as itself always is, and its broker
// lives and tells of no trouble. Only with a status.
func (v *view) inSync(r placement.Replica, alive func(int32) bool) bool {
	return r.Broker == v.leader || alive(r.Broker) && v.troubles[r.Broker] == "" && slices.Contains(v.status.InSync, r.ID)
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
	var silent []int32
	var why []string
	voters, lost := 0, 0
	for _, r := range v.place.Replicas {
		if r.Learner {
			continue
		}
		voters++
		trouble, unanswered := v.troubles[r.Broker], v.unanswered[r.Broker]
		switch {
		case !alive(r.Broker):
			lost++
			silent = append(silent, r.Broker)
		case trouble != "":
			lost++
			why = append(why, fmt.Sprintf("its replica on broker %d %s", r.Broker, trouble))
		case unanswered != "":
			why = append(why, fmt.Sprintf("broker %d does not tell how its replica is: %s", r.Broker, unanswered))
		}
	}
	if voters == 0 {
		return "it has no voters"
	}
	slices.Sort(silent)
	if len(silent) > 0 {
		why = append([]string{silence(silent)}, why...)
	}
	head := "no leader is known: an election should be under way"
	switch {
	case voters-lost <= voters/2:
		return "no quorum: " + strings.Join(why, "; ")
	case lost > 0:
		head += " among the other replicas"
	}
	return strings.Join(append([]string{head}, why...), "; ")
}

// silence names silent brokers, at least one.
func silence(brokers []int32) string {
	if len(brokers) == 1 {
		return fmt.Sprintf("the replica on broker %d is silent", brokers[0])
	}
	var ids []string
	for _, b := range brokers {
		ids = append(ids, fmt.Sprint(b))
	}
	last := len(ids) - 1
	return fmt.Sprintf("the replicas on brokers %s and %s are silent", strings.Join(ids[:last], ", "), ids[last])
}

// underReplicated tells why fewer replicas than planned have all of the data; empty if all have, or without a leader.
func (v *view) underReplicated(alive func(int32) bool) string {
	if !v.led {
		return ""
	}
	var why []string
	if v.status == nil && alive(v.leader) {
		s := fmt.Sprintf("its leader, broker %d, does not tell who is in sync", v.leader)
		if e := v.unanswered[v.leader]; e != "" {
			s += ": " + e
		} else {
			s += ": the leadership is changing"
		}
		why = append(why, s)
	}
	for _, r := range v.place.Replicas {
		trouble := v.troubles[r.Broker]
		switch {
		case !alive(r.Broker) && r.Broker == v.leader && v.by != 0:
			why = append(why, fmt.Sprintf("broker %d says that broker %d leads it, which is not heard here: see to the network between them", v.by, r.Broker))
		case !alive(r.Broker) && r.Broker == v.leader:
			why = append(why, fmt.Sprintf("its leader, broker %d, is silent", r.Broker))
		case !alive(r.Broker):
			why = append(why, fmt.Sprintf("broker %d is silent", r.Broker))
		case trouble != "":
			why = append(why, fmt.Sprintf("its replica on broker %d %s", r.Broker, trouble))
		case r.Learner:
			why = append(why, fmt.Sprintf("the replica on broker %d is a learner that is catching up", r.Broker))
		case v.status != nil && !v.inSync(r, alive):
			why = append(why, fmt.Sprintf("the replica on broker %d is behind the leader", r.Broker))
		}
	}
	return strings.Join(why, "; ")
}

// quarantined begins the trouble of a replica that is, wherever it is told and looked for.
const quarantined = "is quarantined: "

// troubleOf tells why there is no running replica of a partition on broker, which should have one, as the words after
// "its replica on broker 1".
func troubleOf(e *runnelv1.Error, topic string, n, broker int32) string {
	why, named := strings.CutPrefix(e.GetMessage(), fmt.Sprintf("the replica of %s/%d on broker %d ", topic, n, broker))
	if !named {
		return "cannot be used: " + cut(why)
	}
	why = strings.TrimSuffix(why, ": try again") // whoever looks at the cluster has nothing to try again
	if in, ok := strings.CutPrefix(why, "is quarantined ("); ok {
		why = quarantined + strings.TrimSuffix(in, ")")
	}
	return cut(why)
}

// cut bounds a text that may have a stack or a path of any length in it.
func cut(s string) string {
	const most = 300
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
