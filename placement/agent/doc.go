// Package agent turns the cluster's desired state into the replicas of one broker.
//
// Data flow. The controller replica of this broker hands every newer placement.State to Update. A task compares it with
// the one before and queues what has to be done; a few more tasks do it: make and open a replica (raftlog.Store,
// partition.Partition, multiraft.Host), or stop one and delete its data. A replica that a move adds here is installed first: a
// catchup.Client receives the log from the leader's broker, or else from another voter's, a few replicas at a time. Partition, the
// look-up on the way of every produce and fetch, reads the newest state and the table of running replicas without taking a
// lock. Tick, called each second, drives the partitions' own clocks, notices what nobody tells (rounds.go), and tries again what
// failed (retry.go).
//
// Serve answers the controller's leader, which drives the moves (placement/ask): how the replicas here are, and, where a group's leader is,
// the next step of a membership change. Source gives what other brokers install their replicas from.
//
// Invariants:
//   - A replica is made only on the disk that the state means: the broker's incarnation in the state is that of the data
//     folder (I19).
//   - A replica that is not on the disk is made with the founding configuration, as long as its group's replicas are the founders; or
//     it is installed, while its move is in phase installing. In any other case it is reported as quarantined, and needs a
//     successor under a new id (RULES 19). A replica that is on the disk is run, in whatever phase its move is.
//   - Neither is done on account of a state older than the newest deletion here (raftlog.Store.Floor): the replica could be
//     the one that was deleted.
//   - Every replica that runs is told where all replicas of its partition are, those that a move adds included, before this broker
//     takes a step for the revision that added them: each may lead next.
//   - Data is deleted only by a committed command (I18): there is a tombstone for the replica, or an older committed
//     state had the replica on this broker and a newer one has not. A replica that no state of this process ever named
//     stays on the disk and is logged once. What was received of a replica that is not installed yet is no data: it goes when
//     the move is cancelled, and at a restart.
//   - After a recovery of the controller group by hand the state may lack what lost commands made. That is no command to delete: such replicas
//     stop, and stay on the disk. Those of a group that the state names run until that has gone on without them (aside.go).
//   - A group hears nothing of replicas that have tombstones.
//   - A quarantined replica is never started and never made again; it is shown with its reason. One that stopped since the disk was full
//     or descriptors were short is none: it is started again, at growing pauses.
//   - A replica that a move installed on this broker in the place of another one here runs instead of it, and the other one again if the
//     move is turned back.
//   - A voter that lacks what is no longer in the log is named by the agent of its leader: it has to be replaced (RULES 19).
//   - Work on one replica is never done by two tasks at a time, and not by a task while its log is received.
//   - Steps of one group's membership are taken one after the other, each from when it is begun until raft tells what became of it.
//   - A step of a membership change that the newest state here does not mean is refused: its sender may have been deposed.
//
// Callers: cmd/brokerd/broker (assembly, Tick; Serve for calls that ask.Handles; Source for its catchup.Server), rpc/broker
// (Partition).
package agent
