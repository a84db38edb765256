// Package sim runs whole brokers, all but their rpc layer, in one deterministic history: controller, agent, partitions,
// raft and real logs in real folders, on env/sim's virtual clock and network, under faults drawn from a seed. At the end
// everything is healed and what clients saw is held against the promises by bench/check.
//
// # Data flow
//
// A Cluster has machines (a disk and, while it is up, a boot: what cmd/brokerd/broker assembles). Producers and readers
// are state machines that talk to boots over the same virtual network, with rpc's rules: a lost request is a time-out,
// an answer names the leader. The nemesis breaks and mends machines, links and disks. Run ends with heal, quiescence
// and the checks; its Report holds the violations, the hash of the history and counts that tell whether the run proved
// anything.
//
// # Determinism
//
// Everything runs on the goroutine that calls Run, but for three calls of the product that block by design:
// Controller.Do and Serve, Partition.EndOffset and Host.HandOver. Each runs on a goroutine of its own (calls.go) that moves
// only between two events of the world: Config.Settle returns when all of them are blocked. Requests to the controller
// are made one after the other, so never two of them are awake at once.
//
// # Invariants
//
//   - The same Config and code give the same Report.Hash.
//   - A killed machine's tasks and timers never run again, its files are closed without a last write.
//   - A power cut (Config.Mutant aside) loses nothing, since bbolt synced every commit; a database opened without syncs
//     falls back to what was written back last.
//
// Callers: this package's tests, `go test ./bench/sim -sim.seed=N -v` for one history and -sim.seeds=N for many.
package sim
