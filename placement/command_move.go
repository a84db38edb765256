package placement

// ProposeMoves records planned moves, all or none. A move that is recorded already counts as done.
type ProposeMoves struct {
	Moves []ProposeMove `json:"moves"`
}

// ProposeMove is one planned move; as a command of its own it stands for ProposeMoves with one.
type ProposeMove struct {
	Topic string `json:"topic"`
	// TopicID pins the topic; 0 means any of that name.
	TopicID   uint64 `json:"topic_id,omitempty"`
	Partition int32  `json:"partition"`
	// AddBrokers get a new replica each.
	AddBrokers []int32 `json:"add_brokers,omitempty"`
	// Removes holds the ids of the replicas that leave.
	Removes []uint64 `json:"removes,omitempty"`
	// OrderBrokers holds the brokers of the result, the preferred leader first. Empty: the replicas stay in their order,
	// a new one in the place of the one it replaces.
	OrderBrokers []int32 `json:"order_brokers,omitempty"`
	Reason       string  `json:"reason,omitempty"`
	Kind         Kind    `json:"kind"`
}

// AdvanceMove takes a move one phase further. From is the phase it must be in and To the one after (Move.Next). It also takes a move
// back out of joint (Move.Back), and into joint again although it was cancelled since, if Entered is set.
type AdvanceMove struct {
	TopicID   uint64 `json:"topic_id"`
	Partition int32  `json:"partition"`
	Move      uint64 `json:"move"`
	From      Phase  `json:"from"`
	To        Phase  `json:"to"`
	// Entered says that the group was seen to have entered the joint configuration. Only then does the command undo that the move was
	// cancelled: one that was proposed before somebody cancelled it must not.
	Entered bool `json:"entered,omitempty"`
}

// CancelMove turns a move back. One that is only proposed, and always was, is gone at once; another is marked Cancelled, and EndCancelled
// ends it when the new replicas are no learners any more and no change is under way in the group. From joint on it is refused.
type CancelMove struct {
	TopicID   uint64 `json:"topic_id"`
	Partition int32  `json:"partition"`
	Move      uint64 `json:"move"`
}

// EndCancelled removes a cancelled move and leaves tombstones for its new replicas. Whoever proposes it has made sure that
// they are no members of the group, in phase installing too: they may have become learners before that was recorded. And a group whose
// move stepped back has the old voters, and no change is under way there.
type EndCancelled struct {
	TopicID   uint64 `json:"topic_id"`
	Partition int32  `json:"partition"`
	Move      uint64 `json:"move"`
}

// FinishMove makes a move's result the partition's replicas and leaves tombstones for those that left.
type FinishMove struct {
	TopicID   uint64 `json:"topic_id"`
	Partition int32  `json:"partition"`
	Move      uint64 `json:"move"`
}

// SetPreferred orders a partition's replicas anew, the preferred leader first. No data moves.
type SetPreferred struct {
	TopicID   uint64 `json:"topic_id"`
	Partition int32  `json:"partition"`
	// Order holds all ids of Partition.Replicas.
	Order []uint64 `json:"order"`
}

// SetDraining tells that a broker shall be emptied, or that it shall not any more.
type SetDraining struct {
	Broker   int32 `json:"broker"`
	Draining bool  `json:"draining"`
}

// RemoveBroker removes a broker from the cluster for good. It is refused while the broker holds a replica, is to get one, or
// is recorded as a voter of the controller group. That record follows raft's configuration and can lag it, so whoever proposes
// this looks there as well, and whoever leads takes a replica that the State lacks out of the configuration, be it a voter or
// a learner. The broker's id is never given again, and its tombstones end: a broker that is no member can never come back with
// that data.
type RemoveBroker struct {
	Broker int32 `json:"broker"`
}

// AddPartitions adds planned partitions to a topic.
type AddPartitions struct {
	Topic   string `json:"topic"`
	TopicID uint64 `json:"topic_id,omitempty"` // 0 means any of that name
	// From is the number of partitions that the topic had when this was planned: a repeated command adds nothing, one
	// that another overtook is refused. 0 means any, and is not safe to repeat.
	From int `json:"from,omitempty"`
	// Brokers holds the brokers of each new partition, the preferred leader first.
	Brokers [][]int32 `json:"brokers"`
	By      string    `json:"by,omitempty"` // as in AlterSettings
}

// SetReplicationFactor records how many replicas the topic's partitions shall have. The planner then moves them there.
type SetReplicationFactor struct {
	Topic   string `json:"topic"`
	TopicID uint64 `json:"topic_id,omitempty"` // 0 means any of that name
	RF      int    `json:"rf"`
	By      string `json:"by,omitempty"` // as in AlterSettings
}

// RecordRecovery records that an operator gave up a partition's majority: Kept goes on as its only replica and all others
// are lost, whatever they hold. A move under way ends with them.
//
// Where nothing is left to keep, Kept is 0 and the partition begins anew, empty, as another group on Brokers. Its offsets begin at 0
// again, so a reader that had come further finds nothing until it is reset.
type RecordRecovery struct {
	TopicID   uint64 `json:"topic_id"`
	Partition int32  `json:"partition"`
	// Lost names every other replica, those of a move included, so that nothing is lost that nobody named.
	Lost []uint64 `json:"lost"`
	Kept uint64   `json:"kept"`
	// Brokers hold the replicas of the new group, the preferred leader first; empty if Kept is not 0.
	Brokers []int32 `json:"brokers,omitempty"`
	// Note is for people: who did it, and what is missing.
	Note string `json:"note,omitempty"`
	// After is the partition's Recovered, if the only replica is kept that was kept alone before: this is not that recovery asked for again. 0
	// otherwise.
	After uint64 `json:"after,omitempty"`
}

// Level tells how the command is read (LevelOf).
func (c RecordRecovery) Level() int {
	if c.After != 0 {
		return 3
	}
	return 1
}

func (ProposeMoves) isCommand()         {}
func (ProposeMove) isCommand()          {}
func (AdvanceMove) isCommand()          {}
func (CancelMove) isCommand()           {}
func (EndCancelled) isCommand()         {}
func (FinishMove) isCommand()           {}
func (SetPreferred) isCommand()         {}
func (SetDraining) isCommand()          {}
func (RemoveBroker) isCommand()         {}
func (AddPartitions) isCommand()        {}
func (SetReplicationFactor) isCommand() {}
func (RecordRecovery) isCommand()       {}
