package multiraft

import (
	"bytes"
	"encoding/binary"

	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// confChange is the one that was proposed here and is not applied. Raft turns a change that it refuses into an empty entry
// and says nothing (RULES 13), so it is known by an id in its context.
type confChange struct {
	id    []byte
	index uint64 // 0 until it was seen in the log
	done  func(error)
}

// ProposeConf proposes a change of the configuration and calls done on the worker: with nil once it is applied here, else
// with an *runnelv1.Error: retriable while another change is under way or this replica does not lead, definite if the
// change cannot follow the present configuration, indeterminate if leadership is lost meanwhile. The Context of cc is
// not kept. done must not block.
func (g *Group) ProposeConf(cc *raftpb.ConfChangeV2, done func(error)) {
	g.in.control(func() {
		if err := g.proposeConf(cc, done); err != nil {
			done(err)
		}
	})
	g.task.Wake()
}

func (g *Group) proposeConf(cc *raftpb.ConfChangeV2, done func(error)) error {
	if g.rn == nil || !g.session {
		return g.notLeader()
	}
	if g.confChange != nil {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "another membership change of %s is under way; try again", g.name)
	}
	if err := checkConf(g.conf, g.last, cc); err != nil {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "the membership change of %s cannot follow the present members: %v", g.name, err)
	}
	cc = proto.Clone(cc).(*raftpb.ConfChangeV2)
	id := binary.LittleEndian.AppendUint64(nil, g.replica)
	id = binary.LittleEndian.AppendUint64(id, g.env.Uint64())
	cc.Context = id
	if err := g.rn.ProposeConfChange(cc); err != nil {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the membership change of %s was not taken: %v; try again", g.name, err)
	}
	g.confChange = &confChange{id: id, done: done}
	return nil
}

// checkConf tells why a change cannot be applied to a configuration. Raft panics on such a change when it is applied, on
// every replica.
func checkConf(cs *raftpb.ConfState, last uint64, cc *raftpb.ConfChangeV2) error {
	c := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: last}
	cfg, progress, err := confchange.Restore(c, cs)
	if err != nil {
		return err
	}
	c.Tracker.Config, c.Tracker.Progress = cfg, progress
	if cc.LeaveJoint() {
		_, _, err = c.LeaveJoint()
	} else if auto, joint := cc.EnterJoint(); joint {
		_, _, err = c.EnterJoint(auto, cc.GetChanges()...)
	} else {
		_, _, err = c.Simple(cc.GetChanges()...)
	}
	return err
}

// placedConf looks for a proposed change in the entries of the first Ready after the proposal. If it is not there, raft
// refused it.
func (g *Group) placedConf(es []*raftpb.Entry) {
	c := g.confChange
	if c == nil || c.index != 0 {
		return
	}
	for _, e := range es {
		if e.GetType() != raftpb.EntryConfChangeV2 {
			continue
		}
		cc := &raftpb.ConfChangeV2{}
		if err := proto.Unmarshal(e.GetData(), cc); err == nil && bytes.Equal(cc.GetContext(), c.id) {
			c.index = e.GetIndex()
			return
		}
	}
	g.failConf(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
		"another membership change of %s is not applied yet; try again", g.name))
}

// appliedConf answers the proposer once its change is applied. A leader's own entry cannot be replaced at its index
// while it leads, and the wait ends with the leadership.
func (g *Group) appliedConf(index uint64) {
	if c := g.confChange; c != nil && c.index == index {
		g.confChange = nil
		c.done(nil)
	}
}

func (g *Group) failConf(err *runnelv1.Error) {
	if c := g.confChange; c != nil {
		g.confChange = nil
		c.done(err)
	}
}
