package main

import (
	"context"
	"path/filepath"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// follower is the id that a shipped replica gets elsewhere.
const follower = 999

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
	term, err := l.Term(index)
	if err != nil {
		return false, err
	}
	cp := raftlog.Checkpoint{Index: index, Term: term, Next: r.next(index), LogStart: l.StartOffset(), Conf: conf(id), State: []byte("folded")}
	sh, err := l.Ship(context.Background(), cp)
	if err != nil {
		return true, nil
	}
	defer func() { _ = sh.Close() }() // it was only read
	man := sh.Manifest()
	if man.TailFirst < first {
		first = man.TailFirst
	}
	o := options(filepath.Join(dir, "other"))
	to, err := raftlog.Open(o)
	if err != nil {
		return true, err
	}
	other := &verifier{want: newLedger(), dir: o.Dir, facts: v.facts, deep: true, store: to}
	defer other.close()
	in, err := to.Install(id.group, follower)
	if err != nil {
		return true, err
	}
	if err := transfer(sh, in, 0); err != nil {
		v.facts["refused by a follower or its source"]++
		return true, in.Abort()
	}
	if err := in.Finish(); err != nil {
		return true, nil // the last of its checks
	}
	m := &mark{
		Op: "install", Group: id.group, Replica: follower, Source: id.replica, First: first, Last: index,
		Term: max(man.Term, man.IndexTerm), LogStart: cp.LogStart, Checkpoint: pointOf(&cp),
	}
	other.logs, other.entriesOf = map[replicaID]*raftlog.Log{}, map[replicaID]*expected{}
	other.openLog(m.id(), installed(r, m), nil)
	for _, f := range other.found {
		v.bad("I4", "given to a follower: %s", f.What)
	}
	return true, nil
}
