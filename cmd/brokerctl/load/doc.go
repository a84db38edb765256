// Package load is the load generator behind `brokerctl bench`: it puts a known load on a cluster through the SDK and
// tells what came back.
//
// A run goes: Config is checked, a topic is made (or a given one looked up), the mode's producers and consumers run,
// one goroutine each, their meters are merged into a Result, the topic is removed. Run owns every goroutine and has
// waited for all of them when it returns.
//
// What the figures mean:
//
//   - With a rate the load is an open loop: record i is due at start + i/rate whatever became of the records before it,
//     and its latency counts from the moment it was due. A stalled cluster therefore shows up as latency of every record
//     that fell due during the stall (no coordinated omission). All records due within the measured window count,
//     however late their ack comes.
//   - Without a rate the load is a closed loop: Produce blocks when the client's buffer is full, and latency counts from
//     the moment Produce was called. Records whose ack falls into the measured window count, so that neither the filling
//     nor the draining of the buffer bends the rate.
//   - Payloads are slices of one random ring made before the run: not compressible to nothing, and free per record.
//
// The generator shares its machine with the brokers it measures, so the way of a record through it allocates nothing
// and takes one uncontended lock.
//
// Only cmd/brokerctl calls this package.
package load
