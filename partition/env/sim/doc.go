// Package sim runs whole clusters in one goroutine, on a virtual clock, in an order drawn from a seed.
//
// A World holds a heap of events: a woken task's run, a timer, a packet on its way. Each has a virtual time and, among
// equal times, a rank drawn from the seed. Step takes the first, moves the clock to its time and runs it. A wake is given
// a small delay drawn from the seed by class (a raft worker's queue, a disk's commit), so runs interleave as they
// would on a machine, only repeatably: the same seed gives the same history, which Hash over the Trace lines proves.
//
// A Process is a set of tasks and timers that die together: Kill is SIGKILL. Network carries values between
// addresses with delay, loss, partitions and per-lane order.
//
// # Invariants
//
//   - Nothing in a World is safe for concurrent use; everything happens on the goroutine that calls Step, Run or RunUntil.
//   - Code under simulation must not start goroutines, wait on channels or range over a map where order shows.
//
// Callers: tests of multiraft, partition, placement and whole brokers.
package sim
