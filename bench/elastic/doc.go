// Command elastic shows a cluster that places, heals and balances itself: three real brokers with 24 partitions of the Go standard
// library's source, then two more join, one is killed for good, one loses its disk, one is drained, all while a client sends and
// another reads. After each step it waits until the cluster has settled, which it does without being asked, and prints how long that
// took, what was moved, how long records that were sent one at a time waited for their acknowledgements meanwhile, and of the longest wait
// which partition had it and when the record was sent, in seconds after the step's start. At the end every record is read anew and every
// replica compared.
//
// A second cluster then tells what sending one record costs, at the 99th percentile, with and without the log of a large partition
// being shipped to a new replica (-catchup, 0 for not).
//
// It fails if a record is lost or comes twice, if replicas differ, if an error reaches a user of the SDK, or if a step does not settle.
package main
