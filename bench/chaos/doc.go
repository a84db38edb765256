// Command chaos breaks a cluster of real brokerd processes in every way it can for some minutes, while clients use it, and then holds
// what they saw against the invariants of package check. `make chaos` and `make soak` run it; README.md says which fault is fired where, and
// FINDINGS.md what was found.
//
// # Data flow
//
//	8 clients (bench/workload)  --+
//	                              +-->  proxy (bench/chaos/proxy)  -->  5 brokers, and a sixth that joins
//	brokers to each other       --+
//
//	schedule.go  --steps of four lanes-->  fire.go  -->  processes.go, links.go, disks.go, membership.go, certificates.go
//	history of all operations  -->  rest.go (heal, wait, read all logs)  -->  judge.go (bench/check, porcupine)  -->  tables, pages
//
// Four lanes go on side by side: faults of processes, of the network, of disks and members, and certificates that are rotated. A fault of disks takes
// copies away for good, so each waits until all copies of all partitions are there: the promises hold for a minority of lost copies. For four seconds the
// other lanes go on meanwhile; then they hold back, or a short run would see few of these faults. The schedule follows from the seed. What
// each fault meets does not: real processes run.
//
// A run is red if a promise is broken; and if it shows nothing: a chosen fault did not fire in a round, no process grew old, under half of the
// operations succeeded, or nothing was compared for an invariant. porcupine's "unknown" is a violation. Logs and data of a red run are
// kept, with a page of faults and outages, pages of the windows around violations, and the history.
//
// # Invariants
//
//   - A fault ends with its step, so healing needs no memory of what was done. Only the wait for its consequences goes on.
//   - Whoever holds a machine's token may stop, start or damage it; only the fault that needs all of them holds more than one.
//   - Only processes that were started here are signalled or traced, by their pid.
package main
