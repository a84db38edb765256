package placement

import (
	"slices"
	"testing"
)

// RULES 30: a majority lost for good is given up by hand, by name, and stands in the log.
func TestRule30RecoveryNamesWhatIsLost(t *testing.T) {
	s, _ := moving(t)
	s = advance(t, s, PhaseInstalling)
	topic := s.Topics["t"].ID
	rs, joins := part(s).Replicas, part(s).Move.Adds[0].ID
	c := RecordRecovery{TopicID: topic, Kept: rs[0].ID, Lost: []uint64{rs[1].ID, rs[2].ID}, Note: "disks burnt"}
	_, _, err := Apply(s, c)
	wantCode(t, err, CodeOutdated) // the one that joins was not named
	bad := c
	bad.Kept, bad.Lost = joins, []uint64{rs[0].ID, rs[1].ID, rs[2].ID}
	_, _, err = Apply(s, bad)
	wantCode(t, err, CodeInvalid) // nobody knows what it holds
	c.Lost = append(c.Lost, joins)
	s, _ = mustApply(t, s, c)
	p := part(s)
	if p.Move != nil || len(p.Replicas) != 1 || p.Replicas[0] != rs[0] || len(s.Tombstones) != 3 || s.Replicas != 1 {
		t.Fatalf("it left %+v", p)
	}
	if p.Recovered != s.Revision || !slices.Equal(p.Founders, []uint64{rs[0].ID, rs[1].ID, rs[2].ID}) {
		t.Fatalf("it was recovered at revision %d, and left %+v", s.Revision, p)
	}
	if got := s.Topics["t"].ReplicationFactor(); got != 3 {
		t.Fatalf("the topic now asks for %d replicas, want 3", got)
	}
	if len(s.Recoveries) != 1 || s.Recoveries[0].Note != "disks burnt" || len(s.Recoveries[0].Lost) != 3 {
		t.Fatalf("recorded %+v", s.Recoveries)
	}
	same, _ := mustApply(t, s, c)
	if same != s {
		t.Fatal("the repeated recovery changed something")
	}
}

// The only replica is kept when its group is stuck, for what it believes to be its configuration. It loses nobody, even after an earlier
// recovery.
func TestRule30OnlyReplicaIsKept(t *testing.T) {
	s := founded(t, 4)
	s, _ = mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1, 2}}})
	topic, rs := s.Topics["t"].ID, part(s).Replicas
	s, _ = mustApply(t, s, RecordRecovery{TopicID: topic, Kept: rs[0].ID, Lost: []uint64{rs[1].ID}})
	before := part(s).Recovered
	c := RecordRecovery{TopicID: topic, Kept: rs[0].ID}
	s, _ = mustApply(t, s, c)
	if p := part(s); len(p.Replicas) != 1 || p.Replicas[0].ID != rs[0].ID || p.Recovered <= before || len(s.Recoveries) != 2 || s.Replicas != 1 {
		t.Fatalf("it left %+v, recoveries %+v", p, s.Recoveries)
	}
	same, _ := mustApply(t, s, c)
	if same != s {
		t.Fatal("the repeated recovery changed something")
	}
	if s.Level() != 1 {
		t.Fatalf("level %d: the first release has read all of this", s.Level())
	}
	c.After = part(s).Recovered // it is stuck anew
	s, _ = mustApply(t, s, c)
	if p := part(s); len(p.Replicas) != 1 || p.Recovered <= c.After || len(s.Recoveries) != 3 || s.Level() != 3 {
		t.Fatalf("it left %+v, recoveries %+v, level %d", p, s.Recoveries, s.Level())
	}
	if same, _ = mustApply(t, s, c); same != s {
		t.Fatal("the repeated recovery changed something")
	}
	_, _, err := Apply(s, RecordRecovery{TopicID: topic, Brokers: []int32{3}})
	wantCode(t, err, CodeOutdated) // to begin anew loses the one that is there
}

// A learner that is installed may be all that is left of a partition on its way, unless it is on its way back: then its
// broker may have deleted it.
func TestRule30InstalledLearnerCanBeKept(t *testing.T) {
	for _, phase := range phases {
		s, id := moving(t)
		s = advance(t, s, phase)
		c := RecordRecovery{TopicID: s.Topics["t"].ID, Kept: part(s).Move.Adds[0].ID}
		for _, r := range part(s).Replicas {
			c.Lost = append(c.Lost, r.ID)
		}
		if phase == PhaseProposed || phase == PhaseInstalling {
			_, _, err := Apply(s, c)
			wantCode(t, err, CodeInvalid)
			continue
		}
		if part(s).Move.Cancellable() {
			back, _ := mustApply(t, s, CancelMove{TopicID: c.TopicID, Move: id})
			_, _, err := Apply(back, c)
			wantCode(t, err, CodeInvalid)
		}
		s, _ = mustApply(t, s, c)
		if p := part(s); p.Move != nil || len(p.Replicas) != 1 || p.Replicas[0] != (Replica{ID: c.Kept, Broker: 4}) {
			t.Fatalf("from phase %s it left %+v", phase, p)
		}
	}
}

// Nothing is left: the partition begins anew, as a group that never had another configuration, and every old replica is deleted
// wherever it turns up.
func TestRule30PartitionWithoutReplicasBeginsAnew(t *testing.T) {
	s := founded(t, 4)
	s, _ = mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1, 2}}})
	old := *part(s)
	lost := []uint64{old.Replicas[0].ID, old.Replicas[1].ID}
	c := RecordRecovery{TopicID: s.Topics["t"].ID, Lost: lost[:1], Brokers: []int32{3, 4}}
	_, _, err := Apply(s, c)
	wantCode(t, err, CodeOutdated) // one was not named
	c.Lost, c.Brokers = lost, nil
	_, _, err = Apply(s, c)
	wantCode(t, err, CodeInvalid) // nowhere to begin
	c.Kept, c.Lost, c.Brokers = lost[0], lost[1:], []int32{3}
	_, _, err = Apply(s, c)
	wantCode(t, err, CodeInvalid) // either of both
	c.Kept, c.Lost, c.Brokers = 0, lost, []int32{3, 4}
	s, _ = mustApply(t, s, c)
	p := part(s)
	_, still := p.Founding()
	if p.Group == old.Group || !still || p.Recovered != 0 || len(p.Replicas) != 2 || p.Replicas[0].Broker != 3 || s.Replicas != 2 {
		t.Fatalf("it began anew as %+v", p)
	}
	if len(s.Tombstones) != 2 || s.Tombstones[lost[0]].Group != old.Group || len(s.Recoveries) != 1 || s.Recoveries[0].Kept != 0 {
		t.Fatalf("tombstones %v, recoveries %v", s.Tombstones, s.Recoveries)
	}
	same, _ := mustApply(t, s, c)
	if same != s {
		t.Fatal("the repeated recovery began once more")
	}
}
