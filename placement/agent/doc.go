// Package agent turns the cluster's desired state into the replicas of one broker.
//
// Data flow. The controller replica of this broker hands every newer placement.State to Update. A task compares it with
// the one before and queues what has to be done; a few more tasks do it: make and open a replica (raftlog.Store,
// partition.Partition, multiraft.Host), or stop one and delete its data. Partition, the look-up on the way of every
// produce and fetch, reads the newest state and the table of running replicas without taking a lock. Tick, called each
// second, drives the partitions' own clocks and tries again what failed.
//
// Invariants:
//   - A replica is made only on the disk that the state means: the broker's incarnation in the state is that of the data
//     folder (I19). It is made with the founding configuration, all replicas of the partition as voters.
//   - Data is deleted only by a committed command (I18): there is a tombstone for the replica, or an older committed
//     state had the replica on this broker and a newer one has not. A replica that no state of this process ever named
//     stays on the disk and is logged once.
//   - A quarantined replica is never started and never made again; it is shown with its reason.
//   - Work on one replica is never done by two tasks at a time.
//
// Callers: cmd/brokerd/broker (assembly, Tick), rpc/broker (Partition).
package agent
