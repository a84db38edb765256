package placement

import (
	"slices"
	"testing"
)

// recoverable is a cluster of three brokers with a topic, all of them with a vote in the controller group.
func recoverable(t *testing.T) *State {
	t.Helper()
	s := New()
	apply := func(c Command) {
		t.Helper()
		b, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = Decode(b); err != nil {
			t.Fatal(err)
		}
		next, _, err := Apply(s, c)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	apply(FoundCluster{ClusterID: "c", Broker: Registration{Incarnation: "i1", PeerAddr: "h1:1"}})
	for _, i := range []string{"2", "3"} {
		apply(RegisterBroker{Broker: Registration{Incarnation: "i" + i, PeerAddr: "h" + i + ":1"}})
	}
	apply(CreateTopic{Name: "t", Brokers: [][]int32{{1, 2, 3}}})
	return s
}

func TestARecoveredControllerGivesNothingTwiceAndNamesTheLost(t *testing.T) {
	s := recoverable(t)
	old := *s
	n, r, err := Apply(s, NewRecoverController(s, 3, 3, []uint64{1, 77}, "why"))
	if err != nil || !r.Changed {
		t.Fatalf("%+v %v", r, err)
	}
	rec, ok := n.ControllerRecovered()
	if !ok || rec.GivesUp(3) || !rec.GivesUp(1) || !rec.GivesUp(2) || !rec.GivesUp(old.NextReplica+100) || rec.GivesUp(n.Brokers[1].ControllerReplica) {
		t.Errorf("%+v: all that may have been made before is to be given up, and nothing else", rec)
	}
	if len(n.Controller) != 1 || n.Controller[0] != (Replica{ID: 3, Broker: 3}) {
		t.Errorf("the group is %v", n.Controller)
	}
	seen := map[uint64]bool{}
	for id, b := range n.Brokers {
		if id != 3 && b.ControllerReplica < old.NextReplica+recoveryJump || seen[b.ControllerReplica] {
			t.Errorf("broker %d shall have the replica %d", id, b.ControllerReplica)
		}
		seen[b.ControllerReplica] = true
	}
	if n.Brokers[3].ControllerReplica != 3 {
		t.Errorf("broker 3 shall have the replica %d", n.Brokers[3].ControllerReplica)
	}
	for what, d := range map[string]bool{
		"broker": n.NextBroker >= old.NextBroker+brokersJump, "topic": n.NextTopic >= old.NextTopic+recoveryJump, "group": n.NextGroup >= old.NextGroup+recoveryJump,
		"replica": n.NextReplica >= old.NextReplica+recoveryJump, "move": n.NextMove >= old.NextMove+recoveryJump,
		"producer": n.NextProducer >= old.NextProducer+recoveryJump, "revision": n.Revision > old.Revision+recoveryJump,
	} {
		if !d {
			t.Errorf("the next %s may be one that a lost command gave", what)
		}
	}
	if last := n.ControllerRecoveries[0]; last.Revision != n.Revision || last.Note != "why" || last.Kept != 3 {
		t.Errorf("it is recorded as %+v at revision %d", last, n.Revision)
	}
	if s.Revision != old.Revision || s.Brokers[1].ControllerReplica != 1 || len(s.Controller) != len(old.Controller) {
		t.Error("the state before was changed")
	}
	p, before := n.Topics["t"].Partitions[0], s.Topics["t"].Partitions[0]
	if !slices.Equal(p.Replicas, before.Replicas) || p.Group != before.Group {
		t.Errorf("the partition is %+v, it was %+v", p, before)
	}
	if founders, still := p.Founding(); still || len(founders) != 3 {
		t.Error("its replicas may be made from nothing, although it may have moved since")
	}
	if _, still := before.Founding(); !still {
		t.Error("the state before was changed")
	}
	if _, _, err := Apply(s, NewRecoverController(s, 3, 9, nil, "")); err == nil {
		t.Error("a broker that is no member keeps the cluster")
	}
	if _, _, err := Apply(s, RecoverController{Kept: 3, Broker: 3, Below: old.NextReplica}); err == nil {
		t.Error("ids are given that lost commands may have given")
	}
	// It is in the state that is written down.
	b, err := n.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if back, _ := again.ControllerRecovered(); back.Below != rec.Below || back.Kept != rec.Kept {
		t.Errorf("read back it is %+v", back)
	}
}
