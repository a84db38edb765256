package plan

import (
	"time"

	"github.com/runnel-io/runnel/placement"
)

// View is what the planners see: the desired state and what was observed beside it. Nil maps are empty.
type View struct {
	State *placement.State
	// Alive holds the brokers heard now.
	Alive map[int32]bool
	// DeadFor tells how long a broker has not been heard; absent means 0.
	DeadFor map[int32]time.Duration
	// ReplaceAfter is how long a broker may be silent before its replicas are replaced; 0 means for ever.
	ReplaceAfter time.Duration
	// Quarantined holds the replicas that can never serve again, with the reason.
	Quarantined map[uint64]string
	// Stuck holds the groups of which no leader in session was seen for long, though a majority of their brokers is alive: they may be
	// recovered by hand (Recover).
	Stuck map[uint64]bool
	// Cooling holds the groups for which no move is planned now: those before were turned back.
	Cooling map[uint64]bool
	// Refusing holds the brokers that can take no new replica now, with the reason: a full disk, or installations that fail again
	// and again. Whoever fills it keeps an entry for some minutes: moves to such a broker are turned back, so the trouble does not
	// show until the next one.
	Refusing map[int32]string
	// Full holds the brokers that refuse records now, since their disks are nearly full: they are to lead nothing that others can lead. They
	// are in Refusing too.
	Full map[int32]bool
	// Bytes tells, by group, the size of one replica; absent or 0 if unknown.
	Bytes map[uint64]int64
	// Leaders tells, by group, which broker leads now.
	Leaders map[uint64]int32
	// Idle holds the moves, by id, of which is known that they copy nothing and will not soon, for whatever reason. They do not count for
	// MaxMoves, and for MaxPerBroker only where they go to, against what does not heal.
	Idle map[uint64]bool
	// MaxMoves bounds the moves under way in the cluster, those of the state included; 0 means no bound. Moves that stand still,
	// since a broker that they need is silent or a majority is missing, do not count: they must not keep others from being made. For what heals
	// (Heals) only what heals counts.
	MaxMoves int
	// MaxPerBroker bounds the new replicas that one broker receives at a time, and those that it sends as the leader of
	// their partitions; 0 means no bound. For what heals only what heals counts.
	MaxPerBroker int
	// Muted brokers get no leader transfer: they just came back.
	Muted map[int32]bool
}

// Plan is what should be done next. Each decision carries its reason.
type Plan struct {
	// Moves holds the moves to propose, the most urgent first. They fit together: each was planned on the others.
	Moves []placement.ProposeMove
	// Cancels holds moves that can never be finished where they were to go; CancelReasons, at the same index, tells why.
	Cancels       []placement.CancelMove
	CancelReasons []string
	// Preferred holds new orders of replicas; PreferredReasons, at the same index, tells why.
	Preferred        []placement.SetPreferred
	PreferredReasons []string
	// Transfers holds the leaders that should move to their preferred brokers now.
	Transfers []Transfer
	// Blocked holds what should be done and cannot be, at most MaxBlocked of them; BlockedMore counts the rest.
	Blocked     []Blocked
	BlockedMore int
	// Waiting counts the moves that were left out because enough are under way (MaxMoves, MaxPerBroker); there may be more,
	// since what is less urgent than these was not looked at.
	Waiting int
	// Reasons describe the situation as a whole, a line each.
	Reasons []string
}

// MaxBlocked is how many entries Plan.Blocked and DrainStatus.Blocked hold at most.
const MaxBlocked = 200

// Empty tells whether there is nothing to propose and no leader to transfer.
func (p *Plan) Empty() bool {
	return len(p.Moves) == 0 && len(p.Cancels) == 0 && len(p.Preferred) == 0 && len(p.Transfers) == 0
}

// Transfer asks a partition's leader to hand over.
type Transfer struct {
	Group     uint64
	Topic     string
	Partition int32
	From, To  int32 // brokers
	Reason    string
}

// Blocked is something that should be done and cannot be. Broker is the one that cannot be left or relieved.
type Blocked struct {
	Topic     string
	Partition int32
	Broker    int32
	Reason    string
}

// DrainStatus tells how far a broker's drain is.
type DrainStatus struct {
	Broker   int32
	Draining bool
	// Replicas, and their Bytes, are still on the broker or on their way to it; Moving of them have a move, which can go on, that takes
	// them away. A broker holds one replica of a partition, so Replicas counts partitions too.
	Replicas, Moving int
	Bytes            int64
	// Leaders counts the partitions that the broker leads now.
	Leaders int
	// Voter tells whether the broker votes in the controller group still.
	Voter bool
	// Blocked tells what no broker can take, at most MaxBlocked of them; BlockedMore counts the rest.
	Blocked     []Blocked
	BlockedMore int
}

// Empty tells whether the broker can be removed.
func (d *DrainStatus) Empty() bool { return d.Replicas == 0 && !d.Voter }

// BrokerLoad is what one broker carries.
type BrokerLoad struct {
	Broker    int32
	Replicas  int
	Leaders   int // leads now
	Preferred int // is the preferred leader of
	Bytes     int64
}

// SpreadStatus tells how even the cluster is: differences between the most and the least loaded of the brokers that are
// alive and not draining.
type SpreadStatus struct {
	Brokers []BrokerLoad // all members, by rising id

	Replicas, Leaders, Preferred int
	Bytes                        int64
	// TopicReplicas, TopicLeaders and TopicPreferred are those of the most uneven topics.
	TopicReplicas, TopicLeaders, TopicPreferred int
	// WorstTopic has the greatest difference in replicas, or else in leaders; empty if there are no topics.
	WorstTopic string
}
