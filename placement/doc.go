// Package placement is the cluster's desired state as a value: which brokers belong to it, which topics exist, and on
// which brokers each partition's replicas live.
//
// Data flows one way. The controller group (package placement/controller) puts commands, encoded by Encode, into its
// raft log; every broker folds the committed ones with Apply in log order and so arrives at the same State. The agent
// (package placement/agent) turns the newest State into replicas on its own broker, and the routing answers of
// rpc/broker and rpc/admin are drawn from it.
//
// Invariants:
//   - Apply is a pure function of its two arguments: no clock, no chance, no I/O. Every replica of the controller group
//     computes the same state from the same log.
//   - A published State is never written again. Apply copies what it changes and shares the rest, so a reader may
//     keep a State for as long as it likes, and equal pointers mean equal content.
//   - Ids (brokers, topics, groups, replicas, producers) come from counters in the State and are used once.
//   - Revision rises by one with every command that changed something and with no other.
//   - A replica leaves the State only by a committed command, and leaves a Tombstone until the broker that holds its
//     data has said that the data is gone.
//
// The package imports neither raft nor gRPC; package placement/plan decides, this one records.
package placement
