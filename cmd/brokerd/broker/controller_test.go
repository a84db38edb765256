package broker

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// folder is a broker that does not run, with what it has on disk: replicas, as group and id.
func folder(t testing.TB, id int32, replicas ...[2]uint64) *Broker {
	t.Helper()
	e, stop := env.NewReal(env.RealOptions{})
	t.Cleanup(stop)
	s, err := raftlog.Open(raftlog.Options{Dir: t.TempDir(), Clock: e.Clock, Hooks: raftlog.Hooks{NoSync: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	own := s.Identity()
	own.ClusterID, own.BrokerID = "c", id
	if err := s.SetIdentity(own); err != nil {
		t.Fatal(err)
	}
	for _, r := range replicas {
		if err := s.Create(r[0], r[1], &raftpb.ConfState{Voters: []uint64{1}}); err != nil {
			t.Fatal(err)
		}
	}
	return &Broker{store: s}
}

// A replica made from nothing votes alone: a joiner that made one, or a founder whose replica is lost, would be a second cluster.
func TestRule03OnlyAFounderThatNeverRanMakesAReplica(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		b    *Broker
		want bool
	}{
		"a founder that crashed":      {folder(t, firstBroker), true},
		"a joiner that crashed":       {folder(t, 4), false},
		"a founder that ran":          {folder(t, firstBroker, [2]uint64{controllerGroup, 1}), false},
		"one with partitions' alone":  {folder(t, firstBroker, [2]uint64{7, 12}), false},
		"a joiner that has a replica": {folder(t, 4, [2]uint64{controllerGroup, 4}), false},
	} {
		if got := c.b.founds(); got != c.want {
			t.Errorf("%s: founds is %v", name, got)
		}
	}
}

// A crash between the install of a new replica and the deletion of the old one leaves both: the old one was given up.
func TestTheNewestControllerReplicaCounts(t *testing.T) {
	t.Parallel()
	b := folder(t, 4, [2]uint64{controllerGroup, 9}, [2]uint64{controllerGroup, 31}, [2]uint64{7, 50})
	if err := b.store.Quarantine(controllerGroup, 9, "it was given up"); err != nil {
		t.Fatal(err)
	}
	if id, lost := b.heldController(); id != 31 || lost != "" {
		t.Errorf("replica %d, %q", id, lost)
	}
	if err := b.store.Quarantine(controllerGroup, 31, "this one as well"); err != nil {
		t.Fatal(err)
	}
	if id, lost := b.heldController(); id != 31 || lost != "this one as well" {
		t.Errorf("replica %d, %q", id, lost)
	}
}
