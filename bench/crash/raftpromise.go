package main

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"go.etcd.io/raft/v3"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// raftPromise is what a replica has answered others with.
type raftPromise struct {
	term, vote uint64 // vote is of this term
	acked      uint64 // all entries up to here
}

// raftLedger is what the three brokers promised to each other.
type raftLedger struct {
	replicas  map[uint64]raftPromise
	committed uint64
	// entries are those of the highest term ever sent, by index: what is committed is never sent with a higher one. Shared by all ledgers,
	// which look only at what was committed by then.
	entries map[uint64]sum
}

// sent takes what was promised in a message.
func (l raftLedger) sent(m *mark) raftLedger {
	if l.entries == nil {
		l.entries = map[uint64]sum{}
	}
	for i, e := range m.Entries {
		if at := m.First + uint64(i); l.entries[at].Term <= e.Term {
			l.entries[at] = e
		}
	}
	l.committed = max(l.committed, m.Commit)
	if m.Term == 0 {
		return l
	}
	l.replicas = maps.Clone(l.replicas)
	if l.replicas == nil {
		l.replicas = map[uint64]raftPromise{}
	}
	p := l.replicas[m.Replica]
	if m.Term > p.term {
		p.term, p.vote = m.Term, 0
	}
	if m.Vote != 0 && m.Term == p.term {
		p.vote = m.Vote
	}
	p.acked = max(p.acked, m.Last)
	l.replicas[m.Replica] = p
	return l
}

// cluster opens what is left of the disks of the three brokers, whose power went at the same moment. What was committed must be on two of
// them, and each must have what it answered with.
func (v *verifier) cluster(dir string) {
	copies := map[uint64]int{}
	for b := int32(1); b <= 3; b++ {
		v.broker(filepath.Join(dir, brokerFolder(b)), raftReplica(b), copies)
	}
	for i := uint64(2); i <= v.want.raft.committed; i++ {
		v.facts["I1"]++
		if copies[i] < 2 {
			v.bad("I1", "entry %d of the group was committed and is on %d of 3 brokers", i, copies[i])
		}
	}
}

func (v *verifier) broker(dir string, replica uint64, copies map[uint64]int) {
	p, promised := v.want.raft.replicas[replica]
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && !promised {
		return
	}
	s, err := raftlog.Open(options(dir))
	if err != nil {
		v.bad("I1", "the folder of %d cannot be opened: %v", replica, err)
		return
	}
	defer func() {
		if err := s.Close(); err != nil {
			v.bad("I1", "the store of %d does not close: %v", replica, err)
		}
	}()
	v.facts["opened"]++
	l, err := s.OpenLog(raftGroup, replica, raftlog.LogOptions{})
	if err != nil {
		if promised || !errors.Is(err, raftlog.ErrUnknownReplica) {
			v.bad("I1", "replica %d cannot be opened: %v", replica, err)
		}
		return
	}
	hs, _, err := l.InitialState()
	if err != nil {
		v.bad("I1", "replica %d: %v", replica, err)
		return
	}
	v.facts["I15"]++
	if hs.GetTerm() < p.term || hs.GetTerm() == p.term && p.vote != 0 && hs.GetVote() != p.vote {
		v.bad("I15", "replica %d has term %d, vote %d; it answered with %d, %d", replica, hs.GetTerm(), hs.GetVote(), p.term, p.vote)
	}
	v.facts["I12"]++
	last, _ := l.LastIndex()
	if hs.GetCommit() > last {
		v.bad("I12", "replica %d counts as committed up to %d and ends at %d", replica, hs.GetCommit(), last)
	}
	committed := v.want.raft.committed
	for i := uint64(2); i <= min(committed, last); i++ {
		e, err := l.Entries(i, i+1, 1<<30)
		if errors.Is(err, raft.ErrCompacted) { // it is being read back
			_, _ = l.Snapshot()
			e, err = l.Entries(i, i+1, 1<<30)
		}
		if err != nil {
			v.bad("I1", "replica %d, entry %d: %v", replica, i, err)
			return
		}
		if want := v.want.raft.entries[i]; want.Term == e[0].GetTerm() && want.Data == hashEntry(e[0]) {
			copies[i]++
		} else if i <= p.acked {
			v.bad("I1", "replica %d answered for entry %d, which was committed, and has another", replica, i)
		}
	}
	v.facts["I1"]++
	if need := min(committed, p.acked); last < need {
		v.bad("I1", "replica %d ends at entry %d, it answered for %d", replica, last, need)
	}
}
