// Package sim runs whole brokers, all but their rpc layer, in one deterministic history: controller and its moves, agent, catch-up,
// partitions, raft and real logs in real folders, on env/sim's virtual clock and network, under faults drawn from a seed. At the end
// everything is healed and what clients saw is held against the promises, by bench/check and by this package.
//
// # Data flow
//
// A Cluster has five or six machines (a disk and, while it is up, a boot: what cmd/brokerd/broker assembles). Producers and readers
// are state machines that talk to boots over the same virtual network, with rpc's rules: a lost request is a time-out,
// an answer names the leader. Operators make and delete topics, move, drain, transfer, add partitions. The nemesis breaks and mends
// machines, links and disks. Run ends with heal, quiescence and the checks; its Report holds the violations, the hash of the history and
// counts that tell whether the run proved anything.
//
// TestSeeds deals seeds out to processes and adds up what they report (make sim).
//
// # Determinism
//
// What the product does in tasks and timers are events of the world, and run on the goroutine that calls Run. What it does on goroutines
// of its own runs between two events, one goroutine at a time (turns.go): each says when it goes on (env.Env.Resumed), and is let through
// when all others are blocked. So nothing depends on the scheduler, as long as no code of the product goes over a map where
// the order shows.
//
// # Invariants
//
//   - The same Config and code give the same Report.Hash.
//   - A killed machine's tasks, timers and goroutines never run again, its files are closed without a last write.
//   - Only one machine's disk ever loses or damages what is on it, and not again before all that it held is replaced: a majority of each
//     partition keeps what it stored.
//   - A power cut leaves each file as of its last sync and each folder with the names of its last sync (unsynced.go): what an install
//     received, what was made, renamed and removed since is gone, or there again. bbolt syncs every commit; a database that is opened without
//     syncs, as by a mutant, falls back. A cut in the midst of a commit loses that commit, one at a sync what was to be synced, and both
//     nothing of what was sent before. What is in part on the disk, torn commits above all, and syncs that bbolt or the file system forgets are
//     bench/crash's.
//
// # What is checked
//
// All of I1 to I22 of bench/check's and this package's own, but:
//
//   - I17, group offsets: there are no consumer groups yet.
//   - I23, leaks: memory and descriptors are those of one process for all brokers here; bench/chaos looks at real ones. That every goroutine
//     ends with its broker is seen: the bubble would not end.
//
// One thing is less than on a real machine: only raft's messages come twice or out of order. Heartbeats, calls and what clients send are
// delivered once and in order, or not at all, as their connections do.
//
// Callers: this package's tests, make sim.
package sim
