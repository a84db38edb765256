// Package trial has clients use a cluster through the Go SDK while one thing is done to it, and says what they noticed: which records
// were lost or came twice, which calls failed, and how long the longest wait for an acknowledgement was.
//
// # Data flow
//
// A trial has a topic of its own. Start creates it and starts the clients of package workload, End lets them finish, reads the topic as a
// client does and from each broker that holds it, and has package check judge the history. Again reads and judges once more, after
// something else was done to the cluster.
//
// # Invariants
//
//   - A record that is refused, or whose fate is unknown, is an error: the SDK has minutes to deliver it, and what a trial does takes less.
//   - A trial that compared nothing for one of its promises is no success.
//   - A wait does not count while the machine hung: a file beside the brokers' data, committed all the time, tells (disk.go). The
//     time is said all the same.
//   - Every goroutine ends with End, Abort or the context given to Start.
//
// Callers: bench/netns, bench/upgrade.
package trial
