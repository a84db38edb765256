package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// follower is the id that a replica gets when a damaged log is shipped, anew what is added to that of a replica that is replaced.
const (
	follower = 999
	anew     = 1 << 20
)

// give installs the replica of a log elsewhere under a new id, up to what the log knows as committed, as catch-up does. r is what the log must hold. It
// answers what must be found there.
func give(l *raftlog.Log, id replicaID, r *expected, to *raftlog.Store, replica uint64) (*mark, error) {
	hs, _, err := l.InitialState()
	if err != nil {
		return nil, err
	}
	first, err := l.FirstIndex()
	if err != nil {
		return nil, err
	}
	index := hs.GetCommit()
	term, err := l.Term(index)
	if err != nil {
		return nil, err
	}
	cp := raftlog.Checkpoint{Index: index, Term: term, Next: r.next(index), LogStart: l.StartOffset(), Conf: conf(id), State: []byte("folded")}
	sh, err := l.Ship(context.Background(), cp)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sh.Close() }() // it was only read
	man := sh.Manifest()
	in, err := to.Install(id.group, replica)
	if err != nil {
		return nil, err
	}
	if err := transfer(sh, in, 0); err != nil {
		return nil, errors.Join(err, in.Abort())
	}
	if err := in.Finish(); err != nil {
		return nil, errors.Join(err, in.Abort())
	}
	return &mark{
		Op: "install", Group: id.group, Replica: replica, Source: id.replica, First: min(first, man.TailFirst), Last: index,
		Term: max(man.Term, man.IndexTerm), LogStart: cp.LogStart, Checkpoint: pointOf(&cp),
	}, nil
}

// shipDamaged gives a damaged log to another broker, before anybody has read it. What is installed there must be right; the other broker
// or the source may as well refuse. It answers whether there was something to ship.
func shipDamaged(v *verifier, id replicaID, dir string) (shipped bool, err error) {
	r := v.want.replicas[id]
	if r == nil || r.quarantined || v.want.flux[id] != nil {
		return false, nil
	}
	s, err := raftlog.Open(options(v.dir))
	if err != nil {
		return false, nil // as open will find and report
	}
	defer func() { _ = s.Close() }() // it is damaged, and may say so
	if s.Identity().Incarnation != v.want.incarnation {
		return false, nil
	}
	l, err := s.OpenLog(id.group, id.replica, raftlog.LogOptions{})
	if err != nil {
		return false, nil
	}
	hs, _, err := l.InitialState()
	if err != nil {
		return false, err
	}
	first, _ := l.FirstIndex()
	index := hs.GetCommit()
	if index < first || index < r.base || index > r.last() {
		return false, nil
	}
	l.SetApplied(index)
	o := options(filepath.Join(dir, "other"))
	to, err := raftlog.Open(o)
	if err != nil {
		return true, err
	}
	other := &verifier{want: newLedger(), dir: o.Dir, facts: v.facts, deep: true, store: to}
	defer other.close()
	m, err := give(l, id, r, to, follower)
	if err != nil {
		v.facts["refused by a follower or its source"]++
		return true, nil
	}
	other.logs, other.entriesOf = map[replicaID]*raftlog.Log{}, map[replicaID]*expected{}
	other.openLog(m.id(), installed(r, m), nil)
	for _, f := range other.found {
		v.bad("I4", "given to a follower: %s", f.What)
	}
	return true, nil
}

// heal does for each replica that says it is damaged, and for all of them if the broker counts as new, what a cluster does: it is installed
// under a new id from a peer's copy, and deleted. The new one must hold all that the peer holds as committed, and nothing else.
func (v *verifier) heal() error {
	var ids []replicaID
	for id := range v.refused {
		if id != (replicaID{}) {
			ids = append(ids, id)
		}
	}
	if v.wiped {
		ids = ids[:0]
		for id := range v.peer.logs {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if err := v.replace(id); err != nil {
			return fmt.Errorf("replace %s: %w", id, err)
		}
	}
	return nil
}

func (v *verifier) replace(id replicaID) error {
	source, truth := v.peer.logs[id], v.peer.entriesOf[id]
	if source == nil || truth == nil {
		return errors.New("no peer has it")
	}
	if v.store == nil {
		return errors.New("the store is not open")
	}
	if l := v.logs[id]; l != nil {
		_ = l.Close() // it has failed, and says so
		delete(v.logs, id)
	}
	m, err := give(source, id, truth, v.store, id.replica+anew)
	if err != nil {
		return err
	}
	want := installed(truth, m)
	v.openLog(m.id(), want, nil)
	if err := v.refused[m.id()]; err != nil {
		return fmt.Errorf("what was installed: %w", err)
	}
	v.facts["installed anew"]++
	v.healed[id] = true
	if v.wiped {
		return nil
	}
	return errors.Join(v.store.RaiseFloor(v.store.Floor()+1), v.store.Delete(id.group, id.replica))
}
