// Package admin serves operators: the Admin service of proto/runnel/v1.
//
// Any broker answers. What changes the cluster goes to the controller (Controller.Do, which forwards it); what tells of
// the cluster comes from this broker's own copy of the controller's state, its leader table and its view of who is
// alive; what moves, what comes next and what is blocked from the controller's leader (controller.Overview); offsets and
// who is in sync come from each partition's leader, and what is wrong with a replica from the broker
// that has it, asked in one call a broker ("partition.status", which ServePartitionStatus answers on the other side), all
// side by side and within two seconds. Silent brokers are not asked, and not in sync. Who does not answer
// in time leaves -1 and a reason: an operator looks at a cluster when it is ill, so a part that is ill must not hide
// the rest.
//
// Invariants:
//   - Nothing here changes the cluster but by Controller.Do.
//   - After a change this broker's own view has caught up with it before the answer, or the wait for that ended.
//   - A request changes one thing, so that a definite error tells that nothing was changed.
//   - A majority is given up only with the consent to losing exactly the replicas that are lost (RULES 30).
//   - Every reason names brokers, and is made by pure functions (reason.go).
//   - Lists are bounded (maxListed), and what is left out is counted.
//
// cmd/brokerd/broker puts it together, wakes waiters (Signal) and routes "partition.status" to ServePartitionStatus.
package admin
