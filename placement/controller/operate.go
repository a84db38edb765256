package controller

import (
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/plan"
)

// What operators ask. All name topics; ID pins the topic as in DeleteTopic, and Do looks it up if it is 0.

// MovePartition asks for a move: afterwards the partition's replicas are on Brokers, the preferred leader first. Answers Move,
// or none if they are there already.
type MovePartition struct {
	Topic     string
	ID        uint64
	Partition int32
	Brokers   []int32
	Reason    string
}

// CancelMove turns the partition's move back. Answers once that is recorded; UNKNOWN_MOVE if it has none.
type CancelMove struct {
	Topic     string
	ID        uint64
	Partition int32
	// Move pins the move, so that neither a repeated request nor one of somebody who saw another move cancels a later one. Do looks it up
	// if it is 0.
	Move uint64
}

// TransferLeadership has the partition's leader hand over to the replica on the broker. Answers when it has. No command is written.
type TransferLeadership struct {
	Topic     string
	ID        uint64
	Partition int32
	To        int32
}

// SetDraining has a broker emptied, or not any more.
type SetDraining struct {
	Broker   int32
	Draining bool
}

// RemoveBroker removes an empty broker for good: one that was drained, or one that is silent. If a silent one still votes in the controller
// group, that is ended first, by having it drain; until it is, the answer is BROKER_IN_USE, retriable. One that is kept after all has to be
// undrained.
type RemoveBroker struct {
	Broker int32
}

// AddPartitions makes the topic have Partitions partitions. Answers Topic and Reasons.
type AddPartitions struct {
	Topic      string
	ID         uint64
	Partitions int
	By         string `json:",omitempty"` // as in AlterTopicConfig
}

// SetReplicationFactor records how many replicas each partition shall have; moves follow by themselves. Answers Topic and Reasons.
type SetReplicationFactor struct {
	Topic string
	ID    uint64
	RF    int
	By    string `json:",omitempty"` // as in AlterTopicConfig
}

// RecoverPartition gives up a partition's majority: its replica on broker Keep goes on alone, and what only the others held
// is lost. It is refused while a majority of the replicas is alive, or was less than recoverAfter ago, unless the partition is known to have had
// no leader in session for a minute since this was asked for first. If no replica is left at all, Keep is 0 and Anew is set: the partition
// begins anew, empty. Lost names the replicas that are given up, as the operator was shown them; if they are others by now, it is
// refused. It is empty if the only replica is kept; asked for again, that is done once more only if there was no leader in session for a
// minute since. Answers Topic and Reasons.
type RecoverPartition struct {
	Topic     string
	ID        uint64
	Partition int32
	Keep      int32
	Anew      bool
	Lost      []uint64
	Note      string
	// Ask only asks whether it would be refused, and records nothing. Lost may be empty then.
	Ask bool
}

// Overview asks the leader for its view: moves under way, the next plan and its reasons, drains, spread. Answers Overview.
type Overview struct{}

func (MovePartition) repeatable() bool        { return true }
func (CancelMove) repeatable() bool           { return true }
func (TransferLeadership) repeatable() bool   { return true }
func (SetDraining) repeatable() bool          { return true }
func (RemoveBroker) repeatable() bool         { return true }
func (AddPartitions) repeatable() bool        { return true }
func (SetReplicationFactor) repeatable() bool { return true }
func (RecoverPartition) repeatable() bool     { return true }
func (Overview) repeatable() bool             { return true }

// OverviewAnswer is the leader's view. Revision is that of the state it was drawn from.
type OverviewAnswer struct {
	Moves  []MoveProgress
	Plan   plan.Plan // what comes next, by itself
	Drains []plan.DrainStatus
	Spread plan.SpreadStatus
	// Dead tells how long brokers have been silent, in milliseconds, and ReplaceAfterMS when they are replaced.
	Dead           map[int32]int64
	ReplaceAfterMS int64
	Quarantined    map[uint64]string // replica id -> reason
	Recoveries     []placement.Recovery
}

// MoveProgress is a move under way.
type MoveProgress struct {
	Topic     string
	TopicID   uint64
	Partition int32
	Move      placement.Move
	From, To  []int32 // brokers, before and after
	Done      int64   // bytes received by new replicas
	Total     int64   // bytes they will receive, as known
	Waiting   string  // what the move waits for; empty if it is going on
}
