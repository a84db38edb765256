package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/placement"
)

// history is a cluster as a controller finds it: moves go on a step at a time, only as far as the brokers they need let them, while
// brokers die, come back, lose their disks, join, are drained, and replicas rot.
type history struct {
	*sim
	wiped map[int32]bool // never come back
}

func (h *history) quorum(rs []placement.Replica) bool {
	n := 0
	for _, r := range rs {
		if h.serves(r) {
			n++
		}
	}
	return n >= majority(len(rs))
}

// goesOn tells whether the controller can take the move's next step.
func (h *history) goesOn(p *placement.Partition) bool {
	m := p.Move
	adds := true
	for _, r := range m.Adds {
		adds = adds && h.serves(r)
	}
	switch {
	case m.Cancelled:
		return h.quorum(p.Replicas) // the learners leave by its leader
	case m.Phase == placement.PhaseLeft:
		return true
	case m.Phase == placement.PhaseProposed && len(m.Adds) > 0:
		return true
	case m.Next() == placement.PhaseLearner, m.Next() == placement.PhaseCaughtUp:
		return adds && h.quorum(p.Replicas)
	}
	return h.quorum(p.Replicas) && h.quorum(p.Desired()) && (adds || m.Phase == placement.PhaseJoint)
}

// drive plans, and takes a step of each move that can go on and that may says to.
func (h *history) drive(may func() bool) Plan {
	h.t.Helper()
	p := Next(h.v)
	h.checkPlan(p)
	h.adopt(p)
	var all []placement.MoveRef
	for m := range h.v.State.Moves() {
		all = append(all, m)
	}
	for _, m := range all {
		if at := &h.v.State.Topics[m.Topic.Name].Partitions[m.Partition]; h.goesOn(at) && may() {
			h.step(m)
		}
	}
	h.check()
	return p
}

// checkPlan: a plan keeps its limits, turns to living brokers, and says of every partition that has lost its majority what to do.
func (h *history) checkPlan(p Plan) {
	h.t.Helper()
	going, healing := 0, 0
	for m := range h.v.State.Moves() {
		at := &m.Topic.Partitions[m.Partition]
		if m.Move.Phase != placement.PhaseProposed && h.goesOn(at) {
			going++
			if Heals(m.Move.Kind) {
				healing++
			}
		}
	}
	heal := 0
	for _, m := range p.Moves {
		if Heals(m.Kind) {
			heal++
		}
	}
	switch n := len(p.Moves); {
	case h.v.MaxMoves == 0:
	case n > heal && going+n > h.v.MaxMoves:
		h.t.Fatalf("%d moves go on, %d more are planned, and %d are allowed", going, n, h.v.MaxMoves)
	case heal > 0 && healing+heal > h.v.MaxMoves:
		h.t.Fatalf("%d moves that heal go on, %d more are planned, and %d are allowed", healing, heal, h.v.MaxMoves)
	}
	for _, m := range p.Moves {
		at := &h.v.State.Topics[m.Topic].Partitions[m.Partition]
		if !h.quorum(at.Replicas) {
			h.t.Fatalf("%+v is planned for %+v, which has no majority", m, at)
		}
		for _, b := range m.AddBrokers {
			r, here := at.On(b)
			if !h.v.Alive[b] || h.v.State.Brokers[b].Draining || h.v.Refusing[b] != "" || here && m.Kind != placement.KindReplaceQuarantined {
				h.t.Fatalf("%+v goes to broker %d, which holds %+v", m, b, r)
			}
		}
	}
	said := map[string]bool{}
	for _, b := range p.Blocked {
		if strings.Contains(b.Reason, "brokerctl partition recover") {
			said[fmt.Sprint(b.Topic, "/", b.Partition)] = true
		}
	}
	for name, t := range h.v.State.Topics {
		for n := range t.Partitions {
			at := &t.Partitions[n]
			if at.Move != nil && at.Move.Phase == placement.PhaseLeft {
				continue
			}
			bad := false
			for _, r := range at.Replicas {
				_, rots := h.v.Quarantined[r.ID]
				bad = bad || rots || h.v.DeadFor[r.Broker] >= h.v.ReplaceAfter
			}
			if where := fmt.Sprint(name, "/", n); bad && !h.quorum(at.Replicas) && !said[where] && p.BlockedMore == 0 {
				h.t.Fatalf("%s has no majority of %+v and nothing is said: %v", where, at.Replicas, p.Blocked)
			}
		}
	}
}

// happens draws one event.
func (h *history) happens(t *rapid.T) {
	ids := h.v.State.BrokerIDs()
	b := rapid.SampledFrom(ids).Draw(t, "broker")
	switch rapid.IntRange(0, 12).Draw(t, "event") {
	case 12:
		if h.v.Refusing[b] != "" {
			delete(h.v.Refusing, b)
		} else {
			h.v.Refusing[b] = "disk full"
		}
	case 0, 1:
		h.silence(b, time.Second)
	case 2:
		if !h.v.Alive[b] {
			h.silence(b, time.Hour)
		}
	case 3, 4, 5:
		if !h.wiped[b] {
			h.wake(b)
		}
	case 6: // the disk is wiped: another broker joins, this one never comes back
		if h.alive() > 1 {
			h.silence(b, time.Second)
			h.wiped[b] = true
			h.join("")
		}
	case 7:
		h.join("")
	case 8:
		h.apply(placement.SetDraining{Broker: b, Draining: !h.v.State.Brokers[b].Draining})
	case 9:
		name := rapid.SampledFrom(h.v.State.TopicNames()).Draw(t, "topic")
		at := rapid.SampledFrom(h.v.State.Topics[name].Partitions).Draw(t, "partition")
		h.v.Quarantined[rapid.SampledFrom(at.All()).Draw(t, "replica").ID] = "crc"
		h.elect()
	case 10:
		name := rapid.SampledFrom(h.v.State.TopicNames()).Draw(t, "topic")
		h.apply(placement.SetReplicationFactor{Topic: name, RF: rapid.IntRange(1, 5).Draw(t, "rf")})
	case 11:
		if n, _, err := placement.Apply(h.v.State, placement.RemoveBroker{Broker: b}); err == nil && !h.v.Alive[b] {
			h.v.State = n
		}
	}
}

func (h *history) alive() int {
	n := 0
	for id := range h.v.State.Brokers {
		if h.v.Alive[id] && !h.v.State.Brokers[id].Draining {
			n++
		}
	}
	return n
}

// recover gives up by hand what the plan says is lost, and tells whether it did.
func (h *history) recover(p Plan) bool {
	h.t.Helper()
	did := map[string]bool{}
	for _, b := range p.Blocked {
		where := fmt.Sprint(b.Topic, "/", b.Partition)
		if did[where] || !strings.Contains(b.Reason, "brokerctl partition recover") {
			continue
		}
		did[where] = true
		at := &h.v.State.Topics[b.Topic].Partitions[b.Partition]
		keep := int32(0)
		for _, r := range at.All() {
			if h.serves(r) && (!r.Learner || at.Move.KnownInstalled()) {
				keep = r.Broker
				break
			}
		}
		h.v.Stuck = map[uint64]bool{at.Group: true} // of a joint configuration one half may have its majority, and no leader shows
		c, reasons, err := Recover(h.v, b.Topic, b.Partition, keep)
		h.v.Stuck = nil
		if err != nil || len(reasons) != len(c.Lost)+1 {
			h.t.Fatalf("%+v cannot be recovered: %v, %v", at, err, reasons)
		}
		h.apply(c)
		h.elect()
	}
	return len(did) > 0
}

// Whatever happens to a cluster while its moves are under way: no plan is refused, no step takes a majority away, everything that is
// lost is said, and once nothing happens any more the cluster heals, empties the brokers that shall leave, and is even.
func TestHistoriesEndWellOnceNothingHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{sim: newSim(t), wiped: map[int32]bool{}}
		for range rapid.SampledFrom([]int{1, 3, 4, 5}).Draw(t, "brokers") {
			h.join("")
		}
		h.v.MaxMoves = rapid.SampledFrom([]int{0, 1, 3, 8}).Draw(t, "moves")
		h.v.MaxPerBroker = rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "per broker")
		for i := range rapid.IntRange(1, 3).Draw(t, "topics") {
			a, err := Topic(h.v.State, h.v.Alive, fmt.Sprintf("t%d", i), rapid.IntRange(1, 8).Draw(t, "partitions"), min(len(h.v.Alive), 2*i+1))
			if err != nil {
				t.Fatalf("%v", err)
			}
			h.create(fmt.Sprintf("t%d", i), a.Brokers...)
		}
		for range rapid.IntRange(5, 60).Draw(t, "rounds") {
			if rapid.IntRange(0, 2).Draw(t, "quiet") == 0 {
				h.happens(t)
			}
			h.drive(func() bool { return rapid.IntRange(0, 2).Draw(t, "goes on") > 0 })
		}
		// Calm: whoever can comes back, those who cannot are replaced, and there is a broker for every replica.
		for _, id := range h.v.State.BrokerIDs() {
			if h.wiped[id] {
				h.silence(id, time.Hour)
			} else {
				h.wake(id)
			}
		}
		clear(h.v.Refusing)
		for h.alive() < 6 {
			h.join("")
		}
		h.settles(500)
		h.checkEnd()
	})
}

// settles drives until there is nothing to do, recovering by hand what the plans say is lost.
func (h *history) settles(rounds int) {
	h.t.Helper()
	for range rounds {
		h.drive(func() bool { return true })
		moving := false
		for range h.v.State.Moves() {
			moving = true
		}
		if p := Next(h.v); !h.recover(p) && p.Empty() && !moving {
			return
		}
	}
	h.t.Fatalf("no end: %+v", Next(h.v))
}

// checkEnd: every partition has its replicas, on living brokers that are not draining, evenly; the dead hold nothing.
func (h *history) checkEnd() {
	h.t.Helper()
	if p := Next(h.v); len(p.Blocked) > 0 || p.Waiting > 0 {
		h.t.Fatalf("left: blocked %+v, %d waiting", p.Blocked, p.Waiting)
	}
	for name, t := range h.v.State.Topics {
		for n, p := range t.Partitions {
			if len(p.Replicas) != t.ReplicationFactor() || p.Move != nil {
				h.t.Fatalf("%s/%d ended as %+v of %d", name, n, p, t.ReplicationFactor())
			}
			for _, r := range p.Replicas {
				if !h.serves(r) || h.v.State.Brokers[r.Broker].Draining {
					h.t.Fatalf("%s/%d ended on broker %d: %+v", name, n, r.Broker, p)
				}
			}
		}
	}
	if got := Spread(h.v); got.Replicas > 1 || got.TopicReplicas > 1 {
		h.t.Fatalf("replicas ended %d apart, of a topic %d", got.Replicas, got.TopicReplicas)
	}
}
