package multiraft

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
)

// apply runs committed entries through the machine, on the worker itself: apply writes nothing to disk, so a pool of its
// own would only buy a second owner of the machine's state and a mutex around it.
func (g *Group) apply(m *raftpb.Message) {
	for _, e := range m.GetEntries() {
		g.applyEntry(e)
	}
	g.machine.Applied(g.applied)
	// Conf changes were handed to raft above, before the answer that covers them (RULES 14).
	for _, r := range m.GetResponses() {
		g.step(r)
	}
	g.store.SetApplied(g.applied)
	g.dropped = false // committed entries left raft's budget of uncommitted ones
	g.turnDue = true
	g.trim(g.in.takeTrim())
	g.completeReads()
	if g.store.WantsCheckpoint() {
		g.store.OfferCheckpoint(g.checkpoint())
		g.appends.maintain()
	}
}

func (g *Group) applyEntry(e *raftpb.Entry) {
	index, term, data := e.GetIndex(), e.GetTerm(), e.GetData()
	var meta record.Meta
	before := g.conf
	switch e.GetType() {
	case raftpb.EntryNormal:
		meta = record.Fold(index, term, false, data, g.next)
	case raftpb.EntryConfChange:
		cc := &raftpb.ConfChange{}
		mustUnmarshal(data, cc)
		meta = record.Fold(index, term, true, nil, g.next)
		g.conf = g.rn.ApplyConfChange(cc)
	case raftpb.EntryConfChangeV2:
		cc := &raftpb.ConfChangeV2{}
		mustUnmarshal(data, cc)
		meta = record.Fold(index, term, true, nil, g.next)
		g.conf = g.rn.ApplyConfChange(cc)
	}
	if meta.Void {
		g.log.Error("an entry was proposed for another term or offset and takes no effect", "index", index, "term", term, "next", g.next)
	}
	var payload []byte
	if !meta.Conf && len(data) >= record.EnvelopeLen {
		payload = data[record.EnvelopeLen:]
	}
	g.machine.Apply(meta, payload)
	g.next, g.applied, g.appliedTerm = meta.Next, index, term
	if meta.Conf {
		g.confIndex = index
		g.noteVoters(before, index)
		g.showView()
		g.machine.Conf(g.conf)
		g.appliedConf(index)
	}
}

func mustUnmarshal(data []byte, m proto.Message) {
	if err := proto.Unmarshal(data, m); err != nil {
		panic(fmt.Sprintf("a committed conf change cannot be read: %v", err))
	}
}

// checkpoint is the folded state at what is applied.
func (g *Group) checkpoint() raftlog.Checkpoint {
	next, start, state := g.machine.Checkpoint()
	return raftlog.Checkpoint{Index: g.applied, Term: g.appliedTerm, Conf: g.conf, Next: next, LogStart: start, State: state}
}

// trim moves the log's start; raft knows by now that everything before is applied.
func (g *Group) trim(logStart int64) {
	if logStart > 0 && g.store.Trim(logStart) {
		g.appends.maintain()
	}
}
