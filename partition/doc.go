// Package partition is one replica of one partition: it takes record batches, serves them, and keeps what must be
// remembered about them (offsets, producers, the log start) as state folded from the replicated log.
//
// Flow of a record batch:
//
//	rpc/broker -> Produce (queue.go) -> Turn (turn.go): sequences, base offset, epoch -> multiraft -> raftlog
//	           -> Apply (apply.go) on a majority's word -> Applied: high watermark, acknowledgement, waiters (waiters.go)
//	           -> Fetch (fetch.go), reading committed batches from raftlog
//
// A Partition is a multiraft.Machine. Its methods fall in two:
//   - the Machine's, which run on the group's worker, one at a time, and own the struct called fold and sess without a
//     lock;
//   - everything else, which runs on any goroutine and meets the worker in Partition.mu, in atomics, or in ReadIndex.
//
// There is no goroutine in this package. Callbacks (done of Produce, f of WaitBeyond) run on the worker, on a timer or on
// the caller's goroutine and must not block; no lock of this package is held then.
//
// Invariants:
//   - The folded state is a pure function of the log up to the applied index (fold.go, producers.go, command.go): it has
//     no clock, and replay from any checkpoint gives the same bytes.
//   - Offsets, sequences and what is in flight advance only when raft took a turn's proposal whole (RULES 9).
//   - A batch is acknowledged only after it was applied in the session that proposed it, found by term and base offset
//     (RULES 10). What was in flight when a session ends is indeterminate; what was only queued had no effect.
//   - The high watermark and the log start never fall.
//   - Nothing is trimmed or expired but by a command in the log, decided by a leader whose clock agrees with its peers'
//     (RULES 15).
//
// Callers: placement/agent makes and stops partitions; rpc/broker produces and fetches.
package partition
