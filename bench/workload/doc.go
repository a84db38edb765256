// Package workload has clients use a cluster through the Go SDK while something else breaks it, and records every operation for
// package check. Values are unique, so each record read tells which append made it.
//
// # Data flow
//
// Topics are created first; their partitions are numbered through as slots, the partitions of the history. Writers keep many records of
// all slots in flight, or one (write.go). Readers follow all slots (read.go), and what brokers tell them of
// log starts is noted (starts.go). Pollers read pieces of replicas that do not lead (poll.go).
// Askers ask for ends and starts (ask.go). Makers create topics and delete them (make.go). At rest, Final reads every slot as a client does and
// Replicas from each broker that holds it (final.go, replica.go).
//
// # Invariants
//
//   - What an error says of an operation's fate is taken at its word: definite and retriable errors are failures without effect, others unknown.
//   - A payload carries its value twice, the second time as a filler drawn from it; what does not fit together is no value that was sent.
//   - Every goroutine ends with Stop, Abort or the context given to Start.
//
// Callers: bench/chaos; bench/elastic compares replicas with it, and others create their topics with it.
package workload
