// Package placement is the cluster's desired state as a value: which brokers belong to it, which topics exist, on which
// brokers each partition's replicas live, and which of them are on the move.
//
// Data flows one way. The controller group (package placement/controller) puts commands, encoded by Encode, into its
// raft log; every broker folds the committed ones with Apply in log order and so arrives at the same State. The agent
// (package placement/agent) turns the newest State into replicas on its own broker, and the routing answers of
// rpc/broker and rpc/admin are drawn from it.
//
// A partition changes its replicas by a Move, one at a time, each step a command:
//
//	ProposeMove   AdvanceMove (Move.Next)                                      FinishMove
//	     |             |                                                           |
//	 proposed -> installing -> learner -> caught_up -> joint -> left -> replicas replaced
//	     |            |           |           |          no way back
//	 CancelMove    CancelMove: Cancelled, then EndCancelled when the new replicas are no learners any more
//
// A move that only removes replicas has nothing to install and goes from proposed to joint. Partition.Desired is what a
// move will lead to. Installing and joint are committed before they are acted on, the other phases after they came about: see
// Phase.
//
// A group is born on its founders, which are the Replicas as long as nothing changed; FinishMove and RecordRecovery keep their ids in
// Partition.Founders. A replica that is not on its broker's disk may be made from nothing only while that is unset: later the group
// has another configuration and a past, and such a replica is installed, or lost.
//
// RecordRecovery gives up a partition's majority. One replica goes on alone; Topic.RF stays, and the planner refills the
// partition. If no replica is left at all, the partition begins anew as another, empty group.
//
// RecoverController does so with the controller group itself (brokerd controller recover). What was committed after the newest entry that is
// left is not known, so the counters of ids and the revision jump, no replica is made from nothing any more, and the replicas of the group that
// were given up are named.
//
// AlterSettings holds what brokers shall go by while they run. Apply knows neither keys nor values: each broker goes by those that its release
// knows, and whoever proposes checks them.
//
// Invariants:
//   - Apply is a pure function of its two arguments: no clock, no chance, no I/O. Every replica of the controller group
//     computes the same state from the same log.
//   - A published State is never written again. Apply copies what it changes and shares the rest, so a reader may
//     keep a State for as long as it likes, and equal pointers mean equal content.
//   - Ids (brokers, topics, groups, replicas, moves, producers) come from counters in the State and are used once.
//   - Revision rises by one with every command that changed something, with RecoverController by more, and with no other. A command that is applied again
//     changes nothing or is refused.
//   - Two voters of a partition are never on one broker, before a move or after it. While it lasts, a replica that is
//     quarantined may share its broker with its successor.
//   - A replica leaves the State only by a committed command, and leaves a Tombstone until the broker that holds its
//     data has said that the data is gone, or is removed from the cluster. Only the new replicas of a move that nobody
//     had begun leave none.
//
// Size: 100,000 partitions of three replicas take 13 MiB in memory and 10 MiB marshalled, or 24 and 16 MiB if each is a
// topic of its own; a command copies the map of topics and the partitions of those it changes, up to 5 ms then.
//
// Releases: what a release reads of commands and states is told by levels, see Level.
//
// The package imports neither raft nor gRPC; package placement/plan decides, this one records.
package placement
