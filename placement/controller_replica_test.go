package placement

import (
	"slices"
	"testing"
)

func TestRule19ControllerReplicaIsReplacedUnderANewID(t *testing.T) {
	s := founded(t, 3)
	old := s.Brokers[2].ControllerReplica
	s, r := mustApply(t, s, ReplaceControllerReplica{Broker: 2, Old: old})
	id := r.ControllerReplica
	if !r.Changed || r.Broker != 2 || id <= old || s.Brokers[2].ControllerReplica != id || s.NextReplica != id+1 {
		t.Fatalf("%+v, broker %+v, next %d", r, s.Brokers[2], s.NextReplica)
	}
	known := func(id uint64) bool {
		return slices.ContainsFunc(s.Controller, func(r Replica) bool { return r.ID == id })
	}
	if known(old) || known(id) {
		t.Fatalf("%v: the old one is given up and the new one is not installed", s.Controller)
	}
	// Both say what to install, also when asked again.
	again, r := mustApply(t, s, ReplaceControllerReplica{Broker: 2, Old: old})
	if again != s || r.ControllerReplica != id {
		t.Fatalf("given up twice: %+v", r)
	}
	in := reg(2)
	in.ID = 2
	if again, r = mustApply(t, s, RegisterBroker{Broker: in}); again != s || r.ControllerReplica != id {
		t.Fatalf("registered with replica %d, want %d", r.ControllerReplica, id)
	}
	// Only the replica that is asked for becomes known.
	_, _, err := Apply(s, AddControllerReplica{Broker: 2, Replica: old})
	wantCode(t, err, CodeOutdated)
	s, _ = mustApply(t, s, RegisterBroker{Broker: reg(4)})
	s, r = mustApply(t, s, AddControllerReplica{Broker: 2, Replica: id})
	if !r.Changed || !known(id) || !slices.IsSortedFunc(s.Controller, func(a, b Replica) int { return int(a.ID) - int(b.ID) }) {
		t.Fatalf("%v lacks replica %d, or is out of order", s.Controller, id)
	}
	if i := slices.IndexFunc(s.Controller, func(r Replica) bool { return r.ID == id }); !s.Controller[i].Learner || s.Controller[i].Broker != 2 {
		t.Fatalf("%+v is no learner of broker 2", s.Controller[i])
	}
	if again, r = mustApply(t, s, AddControllerReplica{Broker: 2, Replica: id}); again != s || r.ControllerReplica != id {
		t.Fatalf("added twice: %+v", r)
	}
}

func TestControllerReplicaOfAStrangerIsRefused(t *testing.T) {
	s := founded(t, 2)
	for _, c := range []Command{ReplaceControllerReplica{Broker: 9, Old: 1}, AddControllerReplica{Broker: 9, Replica: 1}} {
		_, _, err := Apply(s, c)
		wantCode(t, err, CodeUnknownBroker)
		b, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(b); err != nil || got != c {
			t.Fatalf("%v, %v", got, err)
		}
	}
}
