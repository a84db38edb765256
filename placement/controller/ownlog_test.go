package controller

import (
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
)

// A voter that missed tens of megabytes of commands may have to be caught up by the log alone: nobody can replace it while it is what
// the majority lacks.
func TestOwnLogKeepsWhatAVoterMissed(t *testing.T) {
	e, stop := env.NewReal(env.RealOptions{})
	t.Cleanup(stop)
	s, err := raftlog.Open(raftlog.Options{Dir: t.TempDir(), Clock: e.Clock, Hooks: raftlog.Hooks{NoSync: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	conf := &raftpb.ConfState{Voters: []uint64{1}}
	if err := s.Create(placement.ControllerGroup, 1, conf); err != nil {
		t.Fatal(err)
	}
	l, err := s.OpenLog(placement.ControllerGroup, 1, LogOptions())
	if err != nil {
		t.Fatal(err)
	}
	data := putPayload(1, 1, 1, []byte(strings.Repeat("c", 1<<20)))
	for i := uint64(2); i < 50; i++ {
		entry := &raftpb.Entry{Index: new(i), Term: new(uint64(1)), Type: raftpb.EntryNormal.Enum(), Data: data}
		if err := l.Append([]raftlog.Write{{Commit: i, Entries: []*raftpb.Entry{entry}}}); err != nil {
			t.Fatal(err)
		}
		l.SetApplied(i)
		l.OfferCheckpoint(raftlog.Checkpoint{Index: i, Term: 1, Conf: conf, State: []byte("all of it")})
		if err := l.Maintain(); err != nil {
			t.Fatal(err)
		}
	}
	if first, _ := l.FirstIndex(); first != 2 {
		t.Errorf("after 48 MiB of commands the log begins at entry %d", first)
	}
}
