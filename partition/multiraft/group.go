package multiraft

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Group runs one replica of one group. Everything under "worker" belongs to the group's task; the rest says what guards
// it.
type Group struct {
	*shared
	id, replica uint64
	name        string
	held        bool // see GroupConfig.Held
	log         *slog.Logger
	machine     Machine
	store       *raftlog.Log

	task    env.Task
	in      inbox
	appends appender
	reader  reader
	members members
	// view is what other tasks see of the replica; replaced by the worker when it changes.
	view   atomic.Pointer[view]
	status statusBox
	gone   atomic.Pointer[func(replica uint64) bool] // see SetGone
	// footing is the beat's.
	footing footing
	failed  atomic.Pointer[error] // why the replica no longer runs
	// nurseAt is when nurse is due; nanoseconds of the Unix epoch, 0 for never.
	nurseAt atomic.Int64

	// worker

	rn  *raft.RawNode // nil once stopped or failed
	box letters       // what the run in progress took from the inbox
	// role, term, lead are raft's as of the last syncRole. A session is of this term.
	role           Role
	term, lead     uint64
	session        bool
	candidateSince time.Time
	leaderSince    time.Time
	delay          time.Duration // extra wait before campaigning, until there was a leader
	foundUntil     time.Time     // campaigns often until then, or until there was a leader
	notBefore      time.Time     // it voted, or handed over: leave the candidate time

	conf          *raftpb.ConfState
	confIndex     uint64 // of the last applied conf change
	last          uint64 // index of the log's end, unstable entries included
	commit        uint64
	applied       uint64
	appliedTerm   uint64
	next          int64 // offset after everything applied
	lastUpkeep    uint64
	ticks         uint64
	turnDue       bool
	dropped       bool // the last proposal was; wait for room
	queuedTerm    uint64
	queuedVote    uint64
	appendsQueued int // given to appends and not answered
	proposal      []*raftpb.Entry
	sends         batch
	unreachable   []uint64
	reads         reads
	confChange    *confChange
	transfer      *transfer
	vain          vain
	handed        *handed
	giving        *giving
	stalledAt     time.Time
	preVotes      []keptPreVote
	refusedTerm   uint64   // the term in which
	refusedBy     []uint64 // these refused it their votes
	proposals     proposals
	snapshots     map[uint64]time.Time // peer -> when raft last gave up on shipping it the log
	peersAt       time.Time
	peersCommit   uint64 // commit at peersAt
	peersMatch    uint64 // the sum of the peers' matches, at peersAt
	peersStale    bool   // the group ran after peersAt
	lagging       bool   // a peer on a live broker lacked entries, at peersAt
	// A leader waits since nurseSince without any progress, of which nurseMark tells; see noteWaiting.
	nurseSince, beatenAt time.Time
	nurseMark            uint64
	patience             time.Duration
	// ledFrom is what was known as committed when this leadership began; settleAbove, if not 0, is the index above which an entry has to
	// be committed for the newest change of the voters to be settled (settle.go).
	ledFrom, settleAbove uint64
	// overLead said that it leads no longer, in overTerm; 0 for nobody.
	overLead, overTerm uint64
	overSaid           atomic.Uint64 // overTerm, for those who say it again
	// goneLead is gone, in goneTerm: to be forgotten once what this run took from the inbox is handled; 0 for nobody.
	goneLead, goneTerm uint64
	doubt              doubt
	stopping           bool
	halted             bool // by halt, and not because it failed: the machine is still to be told
}

// view is a replica as its host sees it. Immutable.
type view struct {
	role       Role
	term, lead uint64
	leadBroker int32
	session    bool
	conf       *raftpb.ConfState
	delay      time.Duration
	stopped    bool
	since      time.Time // of the leadership, if role is leader
	foundUntil time.Time
	notBefore  time.Time
}

// Wake has Machine.Turn called soon, if this replica leads in session.
func (g *Group) Wake() {
	g.in.wantTurn()
	g.task.Wake()
}

// SetMembers tells which broker has which replica. Of a voter that m does not name stays known what was known: replicas never change their broker,
// and a leader that sends it nothing may miss it for its majority.
func (g *Group) SetMembers(m map[uint64]int32) {
	g.members.set(m, voters(g.view.Load().conf))
	g.do(func() {
		g.showView()
		g.publish()
	})
}

// SetGone tells which replicas of the group were deleted, or are lost and were given up: a tombstone's, for good. What they send is dropped. One
// that comes back after the others went on without it (raftlog.Store.Recover), or that never learnt that it was removed, might
// otherwise be taken for the leader of a later term and have committed entries overwritten, at which raft panics.
func (g *Group) SetGone(replicas []uint64) {
	s := slices.Clone(replicas)
	slices.Sort(s)
	g.SetGoneIf(func(replica uint64) bool {
		_, gone := slices.BinarySearch(s, replica)
		return gone
	})
}

// SetGoneIf is SetGone by a rule, where not every replica that is gone is known by its id. The rule is called from any goroutine.
func (g *Group) SetGoneIf(gone func(replica uint64) bool) { g.gone.Store(&gone) }

func (g *Group) isGone(replica uint64) bool {
	p := g.gone.Load()
	return p != nil && (*p)(replica)
}

// TransferLeader hands the leadership to another replica, if this one leads. It gives up after transferAfter. Transfer has an answer.
func (g *Group) TransferLeader(replica uint64) {
	g.do(func() { g.startTransfer(replica, transferAfter, nil) })
}

// Campaign starts an election, unless this replica leads, cannot lead or is in the middle of one.
func (g *Group) Campaign() { g.do(g.campaign) }

// triggered is Campaign as the election trigger calls it: not if a leader turned up meanwhile.
func (g *Group) triggered() {
	g.do(func() {
		if g.lead == 0 {
			g.campaign()
		}
	})
}

// Log gives the replica's log, for reads.
func (g *Group) Log() *raftlog.Log { return g.store }

// Healthy gives the reason why the replica stopped for good; nil while it runs.
func (g *Group) Healthy() error {
	if p := g.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// Trim has the log's start follow the replicated trim, once raft knows that what decided it is applied (RULES 7). It is
// for Machine.Apply and must be called from the machine's methods only.
func (g *Group) Trim(logStart int64) { g.in.trim(logStart) }

// OutOfSpace tells whether the replica runs, and an append of it waits for space on the disk.
func (g *Group) OutOfSpace() bool { return g.appends.short.Load() != 0 && g.Healthy() == nil }

// do has f run on the worker, if the replica still runs then.
func (g *Group) do(f func()) {
	g.in.control(func() {
		if g.rn != nil {
			f()
		}
	})
	g.task.Wake()
}

// tick gives raft a tick. A follower's waits for whatever comes next, which at rest is the heartbeat of its leader's tick: a turn for it
// alone would be a third of what an idle replica costs. If nothing comes, the tick after it has both done.
func (g *Group) tick() {
	waiting := g.in.tick()
	if v := g.view.Load(); v.role == RoleFollower && v.lead != 0 && !waiting {
		return
	}
	g.task.Wake()
}

// receive takes a raft message from another broker.
func (g *Group) receive(from int32, m *raftpb.Message) {
	if m.GetTo() != g.replica {
		g.metrics.dropped.WithLabelValues(dropReplica).Inc()
		return
	}
	if g.isGone(m.GetFrom()) {
		g.metrics.dropped.WithLabelValues(dropGone).Inc()
		return
	}
	if !fromWire(m.GetType()) {
		g.metrics.dropped.WithLabelValues(dropType).Inc()
		return
	}
	if m.GetTerm() > maxTerm {
		g.metrics.dropped.WithLabelValues(dropTerm).Inc()
		return
	}
	g.members.learn(m.GetFrom(), from)
	if !g.in.message(m, g.limits) {
		g.metrics.dropped.WithLabelValues(dropFull).Inc()
		return
	}
	g.task.Wake()
}

// maxTerm is the highest term: it must fit a record batch's leader epoch (RULES 12).
const maxTerm = 1<<31 - 1

// fromWire tells whether a message of a type may come from another broker. Snapshots may not: a replica that lacks the
// log's start is replaced (RULES 19). Nor may proposals and reads, which raft would take for its own.
func fromWire(t raftpb.MessageType) bool {
	switch t {
	case raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp,
		raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp, raftpb.MsgTimeoutNow:
		return true
	}
	return false
}

// notLeader is the answer to what only the leader in session can do.
func (g *Group) notLeader() *runnelv1.Error {
	e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "this replica of %s does not lead; ask the leader", g.name)
	if g.lead != 0 && g.lead != g.replica {
		e.LeaderId = g.members.broker(g.lead)
	}
	e.LeaderTerm = int64(g.term)
	return e
}
