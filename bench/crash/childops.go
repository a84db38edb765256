package main

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// errLeft ends an install half-way.
var errLeft = errors.New("the install is left under way")

// install ships a replica's log up to what is committed and installs it under a new id. With leave above 0 it ends before that file, and
// nothing is cleaned up.
func (v *life) install(from *driver, replica uint64, leave int) error {
	r := from.now()
	index := min(r.commit, r.last())
	first, err := from.log.FirstIndex()
	if err != nil {
		return err
	}
	if index < first {
		return fmt.Errorf("%s has nothing to ship: entries from %d on, committed %d", from.id, first, index)
	}
	from.log.SetApplied(index)
	cp := raftlog.Checkpoint{
		Index: index, Term: r.entries[index-r.base].Term, Next: r.next(index), LogStart: from.log.StartOffset(),
		Conf: conf(replicaID{from.id.group, replica}), State: from.bytes(1500),
	}
	sh, err := from.log.Ship(context.Background(), cp)
	if err != nil {
		return err
	}
	man := sh.Manifest()
	if len(man.Files) > 0 {
		first = man.Files[0].First
	} else {
		first = man.TailFirst
	}
	m := &mark{
		Op: "install", Group: from.id.group, Replica: replica, Source: from.id.replica, First: first, Last: index,
		Term: max(man.Term, man.IndexTerm), LogStart: cp.LogStart, Checkpoint: pointOf(&cp),
	}
	return v.book.do(m, func(*mark) error {
		in, err := v.store.Install(from.id.group, replica)
		if err != nil {
			return err
		}
		if err := transfer(sh, in, leave); err != nil {
			return err
		}
		return errors.Join(in.Finish(), sh.Installed())
	})
}

// transfer copies a shipment, in small pieces. With leave above 0 it ends before that file, or before the tail if there are not so many.
func transfer(sh *raftlog.Shipment, in *raftlog.Installer, leave int) error {
	if err := in.Begin(sh.Manifest()); err != nil {
		return err
	}
	buf := make([]byte, 20_000)
	for i, f := range sh.Manifest().Files {
		if leave > 0 && i >= leave {
			return errLeft
		}
		for off := int64(0); off < f.Bytes; {
			n, err := sh.ReadFile(i, off, buf)
			if err != nil {
				return err
			}
			if err := in.WriteFile(i, off, buf[:n]); err != nil {
				return err
			}
			off += int64(n)
		}
		sum, rest, err := sh.Sum(i, 1<<30)
		if err != nil {
			return err
		}
		if rest != 0 {
			return fmt.Errorf("file %d: %d bytes are not in its sum", i, rest)
		}
		if err := in.FinishFile(i, sum); err != nil {
			return err
		}
	}
	if leave > 0 {
		return errLeft
	}
	for from := in.TailNext(); from <= sh.Manifest().Index; {
		p, next, err := sh.Tail(from, 10_000, nil)
		if err != nil {
			return err
		}
		if err := in.WriteTail(p); err != nil {
			return err
		}
		from = next
	}
	return nil
}

// recover has a replica go on alone. What that writes is known only afterwards.
func (v *life) recover(id replicaID) error {
	r := v.book.replica(id)
	m := &mark{Op: "recover", Group: id.group, Replica: id.replica, Any: true, First: r.last() + 1, Vote: id.replica, Term: r.term}
	return v.book.do(m, func(done *mark) error {
		if _, err := v.store.RecoverAlone(id.group, id.replica, nil); err != nil {
			return err
		}
		l, err := v.store.OpenLog(id.group, id.replica, raftlog.LogOptions{})
		if err != nil {
			return err
		}
		hs, _, err := l.InitialState()
		if err != nil {
			return err
		}
		last, err := l.LastIndex()
		if err != nil {
			return err
		}
		done.First, done.Term, done.Vote, done.Commit = m.First, hs.GetTerm(), hs.GetVote(), last
		next := r.next(r.last())
		for i := m.First; i <= last; {
			ents, err := l.Entries(i, last+1, 1<<30)
			if errors.Is(err, raft.ErrCompacted) {
				return fmt.Errorf("entry %d of a log that was just opened: %w", i, err)
			}
			if err != nil {
				return err
			}
			for _, e := range ents {
				done.Entries = append(done.Entries, sum{Term: e.GetTerm(), Data: hashEntry(e), Base: next, Next: next})
			}
			i += uint64(len(ents))
		}
		return l.Close()
	})
}
