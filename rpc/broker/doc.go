// Package broker serves producers and consumers: the Broker service of proto/runnel/v1.
//
// # The way of a produced batch
//
// One reader goroutine a stream takes requests in order. For each it waits for room in the broker's byte budget (that
// wait is the back-pressure: nothing more is read, so gRPC's window closes and the client stops), checks every batch
// and hands it to its partition. The partition answers on its own worker, through a callback that only counts down; the
// last answer of a request puts the response on the stream's queue, and the handler goroutine sends it. There is no
// goroutine a batch or a record, and since one goroutine reads, checks and hands over, batches of one partition keep the
// order of the stream. Decompression, which is what checking costs, is bounded by slots shared by all streams.
//
// Copies of a batch, with the codec of this package: one, from gRPC's receive buffers into a buffer with
// record.EnvelopeLen bytes of headroom, where the partition writes the entry's envelope in place (raft then makes its
// own, RULES 32). With gRPC's own codec it would be three: join the buffers, unmarshal, add the envelope.
//
// # The way of a fetched batch
//
// One goroutine a stream serves all its partitions in turn, as far as the client's credit reaches, and sleeps until one
// of them has more. Partitions read into a pooled chunk (first copy: out of the log); the codec gives gRPC references
// into the chunk, which returns to its pool when gRPC has written it.
//
// # Invariants
//
//   - A request in flight holds one slot of its stream and its bytes of the budget until it is answered, so the queue of
//     responses never blocks a partition's worker: its capacity is the number of slots.
//   - The callback of a batch may come after its stream ended. It then finds a queue that nobody drains but that has
//     room, and is collected with it.
//   - A stream that ends with a retriable error had nothing unanswered; otherwise the error is indeterminate.
//
// cmd/brokerd/broker puts it together; nothing else calls it.
package broker
