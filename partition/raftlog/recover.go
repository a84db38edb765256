package raftlog

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"
)

// Recovery by hand (RULES 30): a group whose majority is lost for good goes on with one replica. No vote can bring that about, so
// it is written into that replica's log while it does not run.

// Recover has a replica go on alone, without those that are lost. Everything its log holds counts as committed, also what never was
// acknowledged; what only the others held is gone. Everyone else leaves the configuration, be they lost or not: what another one
// holds beyond this log may contradict it. At the next start raft applies all that, and the replica elects itself. No RawNode of
// it may run.
//
// None of lost may ever write to the group again: they would take the entries written here for those of an old leader and
// overwrite them (multiraft.GroupConfig.Gone).
//
// Where none of lost is in the configuration nothing is done, so Recover may be called again, at any later time. A log that is behind the
// others may not know those that were lost, but others that left the group before: ConfAtEnd tells whom to name. It is one
// transaction of the log; before it the term is raised, with a vote for itself, as by a leader. If that transaction fails, as on a full disk,
// the next call finds that term unused and goes on in it. Errors: as of OpenLog and Append.
func (s *Store) Recover(group, replica uint64, lost []uint64) error {
	if slices.Contains(lost, replica) {
		return fmt.Errorf("recover replica %d of group %d: it is among the lost ones itself", replica, group)
	}
	l, err := s.OpenLog(group, replica, LogOptions{})
	if err != nil {
		return fmt.Errorf("recover replica %d of group %d: %w", replica, group, err)
	}
	_, err = l.leaveAlone(func(others []uint64) bool {
		return slices.ContainsFunc(others, func(id uint64) bool { return slices.Contains(lost, id) })
	}, nil)
	if err = errors.Join(err, l.Close()); err != nil {
		return fmt.Errorf("recover replica %d of group %d: %w", replica, group, err)
	}
	return nil
}

// RecoverAlone is Recover for a group of which nobody else is to be waited for, whoever that is. command is the data of an entry that
// follows the changes in the same transaction, and so tells the machine of them; nil for none. It answers whether there was
// anybody else; if not, nothing is written.
func (s *Store) RecoverAlone(group, replica uint64, command []byte) (changed bool, err error) {
	l, err := s.OpenLog(group, replica, LogOptions{})
	if err != nil {
		return false, fmt.Errorf("recover replica %d of group %d: %w", replica, group, err)
	}
	changed, err = l.leaveAlone(func(others []uint64) bool { return len(others) > 0 }, command)
	if err = errors.Join(err, l.Close()); err != nil {
		return false, fmt.Errorf("recover replica %d of group %d: %w", replica, group, err)
	}
	return changed, nil
}

// ConfAtEnd tells the configuration after every change that a replica's log holds, committed or not. The replica may not run. Errors: as of
// OpenLog, and of reading.
func (s *Store) ConfAtEnd(group, replica uint64) (*raftpb.ConfState, error) {
	l, err := s.OpenLog(group, replica, LogOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the configuration of replica %d of group %d: %w", replica, group, err)
	}
	cfg, err := l.confAtEnd()
	if err = errors.Join(err, l.Close()); err != nil {
		return nil, fmt.Errorf("read the configuration of replica %d of group %d: %w", replica, group, err)
	}
	return cfg.conf(), nil
}

// leaveAlone appends what leaves this replica the only voter, and then command, if those that would leave are to.
func (l *Log) leaveAlone(wanted func(others []uint64) bool, command []byte) (changed bool, err error) {
	cfg, err := l.confAtEnd()
	if err != nil {
		return false, err
	}
	had := cfg.conf()
	others := slices.Concat(had.GetVoters(), had.GetVotersOutgoing(), had.GetLearners(), had.GetLearnersNext())
	others = slices.DeleteFunc(others, func(id uint64) bool { return id == l.id.replica })
	slices.Sort(others)
	others = slices.Compact(others)
	if !wanted(others) {
		return false, nil
	}
	var ccs []*raftpb.ConfChangeV2
	if len(had.GetVotersOutgoing()) > 0 {
		ccs = append(ccs, &raftpb.ConfChangeV2{})
	}
	alone := &raftpb.ConfChangeV2{Transition: raftpb.ConfChangeTransitionJointExplicit.Enum()}
	alone.Changes = append(alone.Changes, &raftpb.ConfChangeSingle{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: new(l.id.replica)})
	for _, id := range others {
		alone.Changes = append(alone.Changes, &raftpb.ConfChangeSingle{Type: raftpb.ConfChangeRemoveNode.Enum(), NodeId: new(id)})
	}
	ccs = append(ccs, alone, &raftpb.ConfChangeV2{})

	l.mu.Lock()
	last, term := l.last, l.term
	if l.vote != l.id.replica || term <= termAt(l.runs, last) {
		term++
	}
	l.mu.Unlock()
	w := Write{Term: term, Vote: l.id.replica, Commit: last + uint64(len(ccs))}
	for i, cc := range ccs {
		if err := cfg.apply(cc, last); err != nil {
			return false, fmt.Errorf("configuration %v: %w", had, err)
		}
		data, err := proto.Marshal(cc)
		if err != nil {
			return false, err
		}
		w.Entries = append(w.Entries, &raftpb.Entry{Term: new(term), Index: new(last + 1 + uint64(i)), Type: raftpb.EntryConfChangeV2.Enum(), Data: data})
	}
	if got := cfg.conf(); !slices.Equal(got.GetVoters(), []uint64{l.id.replica}) || len(got.GetVotersOutgoing())+len(got.GetLearners())+len(got.GetLearnersNext()) > 0 {
		return false, fmt.Errorf("configuration %v does not lead to this replica alone, but to %v", had, got)
	}
	if command != nil {
		w.Commit++
		w.Entries = append(w.Entries, &raftpb.Entry{Term: new(term), Index: new(w.Commit), Type: raftpb.EntryNormal.Enum(), Data: command})
	}
	if err := l.Append([]Write{w}); err != nil {
		return false, err
	}
	l.log.Warn("the replica goes on alone by an operator's order: what only the others held is lost", "others", others,
		"had_voters", had.GetVoters(), "index", w.Commit, "term", term)
	return true, nil
}

// configuration follows changes as raft does when it applies them.
type configuration struct{ t tracker.ProgressTracker }

func (c *configuration) conf() *raftpb.ConfState { return c.t.ConfState() }

func (c *configuration) apply(cc *raftpb.ConfChangeV2, last uint64) (err error) {
	ch := confchange.Changer{Tracker: c.t, LastIndex: last}
	var cfg tracker.Config
	var progress tracker.ProgressMap
	if cc.LeaveJoint() {
		cfg, progress, err = ch.LeaveJoint()
	} else if auto, joint := cc.EnterJoint(); joint {
		cfg, progress, err = ch.EnterJoint(auto, cc.GetChanges()...)
	} else {
		cfg, progress, err = ch.Simple(cc.GetChanges()...)
	}
	if err != nil {
		return err
	}
	c.t.Config, c.t.Progress = cfg, progress
	return nil
}

// confAtEnd is the configuration after every change that the log holds, committed or not.
func (l *Log) confAtEnd() (*configuration, error) {
	l.mu.Lock()
	cp, last := l.ckpt, l.last
	l.mu.Unlock()
	c := &configuration{t: tracker.MakeProgressTracker(1, 0)}
	cfg, progress, err := confchange.Restore(confchange.Changer{Tracker: c.t, LastIndex: last}, cp.Conf)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint's configuration %v: %w", cp.Conf, err)
	}
	c.t.Config, c.t.Progress = cfg, progress
	err = l.scan(cp.Index+1, last, txBytes, func(h *entryHeader, data entryData) (bool, error) {
		if !h.meta.Conf {
			return true, nil
		}
		d := data.get()
		if err := h.checkData(d); err != nil {
			return false, err
		}
		var cc raftpb.ConfChangeI
		if h.typ == raftpb.EntryConfChange {
			v1 := &raftpb.ConfChange{}
			err, cc = proto.Unmarshal(d, v1), v1
		} else {
			v2 := &raftpb.ConfChangeV2{}
			err, cc = proto.Unmarshal(d, v2), v2
		}
		if err == nil {
			err = c.apply(cc.AsV2(), h.meta.Index)
		}
		if err != nil {
			return false, fmt.Errorf("the membership change at entry %d: %w", h.meta.Index, err)
		}
		return true, nil
	})
	return c, l.readFailed(err)
}
