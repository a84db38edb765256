package multiraft

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Lane is one of the ordered channels between two brokers.
type Lane uint8

const (
	// LaneControl carries what is small and urgent: heartbeats, votes, leader changes.
	LaneControl Lane = iota
	// LaneAppend carries MsgApp and its responses.
	LaneAppend

	// NumLanes is how many lanes there are between two brokers.
	NumLanes = int(LaneAppend) + 1
)

// Packet is what one broker sends another at once. Every field but Nonce may be empty.
type Packet struct {
	// Nonce is drawn at every start of the sender; a new one tells that it restarted.
	Nonce     uint64
	Heartbeat *Heartbeat
	Messages  []Message
	NoLead    []NoLead
	// Leaders are changes (or, with LeadersFull, the whole table) of which groups the sender leads.
	Leaders     []LeaderDelta
	LeadersFull bool
	// LeadersSeq counts the sender's packets with Leaders since its boot. Packets without Leaders but with a Heartbeat carry the
	// newest number too, so that a lost delta shows within one heartbeat.
	LeadersSeq uint64
}

// Message is one raft message; To and From in it are replica ids.
type Message struct {
	Group uint64
	Raft  *raftpb.Message
}

// Heartbeat is sent by every broker to every other one at a fixed interval.
type Heartbeat struct {
	// Seq counts the sender's heartbeats since its boot.
	Seq uint64
	// Ack says that the sender hears the receiver: with it a broker knows that both directions work.
	Ack bool
	// EchoNonce is the boot of the receiver whose leader table the sender has whole. 0 asks for the full table.
	EchoNonce uint64
	// ClockMS is the sender's wall clock, milliseconds since the epoch.
	ClockMS int64
}

// NoLead says that a replica that led its group in Term no longer does. It also goes out when a replica stops.
type NoLead struct {
	Group, Replica, Term uint64
}

// LeaderDelta says that the sender began or ceased to lead a group in a term.
type LeaderDelta struct {
	Group, Term uint64
	Leads       bool
}

// Transport carries packets to other brokers.
type Transport interface {
	// Send hands over a packet and never blocks. Packets to one broker on one lane arrive in order or not at all. False says
	// that this one was dropped. The transport must not change the packet, and the sender does not after the call.
	Send(to int32, lane Lane, p *Packet) bool
}

// Machine is the state machine of one group. All its methods run on the group's worker, one at a time, and none may block:
// a blocked worker stalls other groups. (StartGroup and StopGroup call it on their caller's goroutine, while no worker
// runs. The worker may call it before StartGroup has returned the Group.)
type Machine interface {
	// Restore is the first call: the newest checkpoint, from which Apply goes on.
	Restore(cp raftlog.Checkpoint) error
	// Apply takes each committed entry in order. Payloads of batches are nil while the log is folded at start. The
	// payload must not be kept: it belongs to the log.
	Apply(m record.Meta, payload []byte)
	// Applied follows a run of Apply calls: publish the high watermark, complete waiters.
	Applied(index uint64)
	// Turn asks for entries' Data (envelope included) to propose as one MsgProp, taken or dropped whole; nil for
	// nothing. It is called only while this replica leads in session and no transfer is pending. The slices may be reused after
	// Proposed: raft copies them.
	Turn(s Session) (data [][]byte)
	// Proposed tells the fate of the last Turn's entries, right after it: nil, they are in this leader's log; or
	// raft.ErrProposalDropped, none of them is. After a drop Turn is called again once there is room.
	Proposed(err error)
	// SessionStarted says that this replica leads, everything before its term is applied, and offsets go on from what
	// was applied.
	SessionStarted(s Session)
	// SessionEnded says that the session is over, or that a leadership ended before it had one. What was proposed in it and not yet applied
	// is indeterminate. Group.Status tells of the end already.
	SessionEnded(reason *runnelv1.Error)
	// Conf tells the configuration after a change was applied.
	Conf(cs *raftpb.ConfState)
	// Checkpoint gives the state at what was applied.
	Checkpoint() (next, logStart int64, state []byte)
	// Stopped is the last call: fail all waiters.
	Stopped()
}

// Session is a spell of leadership in which new entries may be proposed (RULES 10).
type Session struct {
	Term uint64
	// ClockOK says that the broker's clock is within a minute of its peers' median (RULES 15).
	ClockOK bool
	// NowMS is the time that appends get, in milliseconds since 1970: the broker's or, where its clock is not, its peers'.
	NowMS int64
}

// Role is what a replica is in its group.
type Role uint8

// Roles.
const (
	RoleFollower Role = iota
	RolePreCandidate
	RoleCandidate
	RoleLeader
)

// String names the role.
func (r Role) String() string {
	switch r {
	case RoleFollower:
		return "follower"
	case RolePreCandidate:
		return "precandidate"
	case RoleCandidate:
		return "candidate"
	case RoleLeader:
		return "leader"
	}
	return "unknown"
}

// Status is a snapshot of one replica, as of its worker's last run.
type Status struct {
	Role Role
	Term uint64
	// Lead is the replica id of the leader, 0 if unknown; LeadBroker the broker it is on, 0 if unknown.
	Lead       uint64
	LeadBroker int32
	// Session says that the replica leads in session.
	Session bool
	// Commit is the highest index known as committed, Applied the highest applied, Last the highest in the log.
	Commit, Applied, Last uint64
	// Conf is the applied configuration: Voters, VotersOutgoing while it is joint, Learners, LearnersNext. It must not be changed.
	Conf *raftpb.ConfState
	// Changing says, of a leader in session, that a change of the configuration is under way: it is in the log and not applied, or it
	// changed the voters and could still be forgotten by a majority of the new ones in a power cut. What the old voters hold may be
	// deleted only when Conf is without them and Changing is false.
	Changing bool
	// Peers is the leader's view of the other replicas, voters and learners, as old as Group.Status says; nil elsewhere. The map is the caller's.
	Peers map[uint64]PeerStatus
	// PeersFloor is what was committed when Peers was renewed the time before. One follower of two is always a little
	// behind the newest commit; one whose Match is at or above the floor keeps up.
	PeersFloor uint64
}

// PeerStatus is what a leader knows of one peer.
type PeerStatus struct {
	Match, Next uint64
	// State is raft's: "StateProbe", "StateReplicate" or "StateSnapshot".
	State string
	// RecentActive is raft's mark, which may be as old as two of its slow election time-outs, and markTicks more.
	// Active is what to go by: it wrote to this leader, and packets pass both ways between its broker and this one now.
	RecentActive, Active bool
	Learner              bool
	// CaughtUp says that it is Active and holds all but the newest entries: a learner could be promoted now.
	CaughtUp bool
	// Behind says that it lacks entries that are no longer in the log: it can never catch up and has to be replaced (RULES 19).
	Behind bool
	marked uint64 // the slow tick at which raft's mark was seen last
}

// GroupConfig says how to run one replica.
type GroupConfig struct {
	Group, Replica uint64
	// Members maps replica ids to brokers.
	Members map[uint64]int32
	// Gone are replicas that shall never be heard again; see Group.SetGone.
	Gone []uint64
	// GoneIf tells so by a rule, instead of Gone; see Group.SetGoneIf.
	GoneIf  func(replica uint64) bool
	Machine Machine
	// Log is passed to the store; its Spawn, Ready and Poisoned are wrapped.
	Log raftlog.LogOptions
	// Name is for logs, e.g. "orders/3".
	Name string
	// Held has the replica not stand for election before Host.ReleaseHeld, or for fifteen seconds after the host's start; it votes. A
	// replica that longer logs wait for stands all the same. While a broker opens thousands of replicas, candidates find most of the
	// others closed, and what their vain tries take from the disk delays the opening.
	Held bool
	// Found says that the group was just created and this is its preferred leader: campaign now and often.
	Found bool
}
