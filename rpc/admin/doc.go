// Package admin serves operators: the Admin service of proto/runnel/v1.
//
// Any broker answers but one that was removed from the cluster. What changes the cluster goes to the controller
// (Controller.Do, which forwards it). What tells of the cluster comes from
//
//   - this broker's own copy of the controller's state, its leader table and its view of who is alive: topics, brokers, and
//     the moves of a topic's partitions;
//   - the controller's leader (controller.Overview): what moves, what comes next, what is blocked, how far drains are. Only
//     the status of the cluster does without it, with the moves of the own copy and the reason;
//   - each partition's leader, offsets and who is in sync, and the broker that has a replica, what is wrong with it: one
//     call a broker ("partition.status", which ServePartitionStatus answers on the other side), all side by side and within
//     two seconds. Silent brokers are not asked, and not in sync.
//   - each broker, its settings as they are in force ("broker.settings").
//
// What a broker does not answer in time is -1, with a reason: an operator looks at a cluster when it is ill, so a part that
// is ill must not hide the rest.
//
// Invariants:
//   - Nothing here changes the cluster but by Controller.Do.
//   - After a change this broker's own view has caught up with it before the answer, or the wait for that ended.
//   - A request changes one thing, so that a definite error tells that nothing was changed.
//   - A majority is given up only with the consent to losing exactly the replicas that are lost (RULES 30).
//   - The reasons why a partition is in trouble are made by pure functions (reason.go) from what was answered.
//   - Lists of moves and of what is planned are bounded (maxListed), and what is left out is counted. The others are as long
//     as the cluster is large; the controller bounds its replicas.
//
// cmd/brokerd/broker puts it together, wakes waiters (Signal) and routes "partition.status" to ServePartitionStatus.
package admin
