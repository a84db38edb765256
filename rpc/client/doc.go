// Package client is the Go SDK of Runnel: it produces, reads and administrates.
//
// # Producing
//
// Client.Produce puts a record into the open batch of its partition (producer.go, partitioner.go). A batch goes to the
// sink of the broker that leads its partition (queue.go, sink.go) at once if the partition is idle, else when it is full
// or has lingered. A sink packs batches of many partitions into one request of the one Produce stream that it has. Answers
// (answer.go), broken streams and time-outs (expire.go) decide a batch's fate; batches whose fate is known leave their
// partition's line in order and have their promises run by one goroutine (promise.go).
//
// Producing is always idempotent. When a sink takes a batch for the first time it gets the producer's id and the next
// sequence of its partition, and every attempt sends the same bytes, so that brokers recognise what they have. The
// invariants:
//
//   - At most five batches of a partition are taken and not finished: as many as brokers remember.
//   - When an attempt ends without an acknowledgement, nothing of its partition is sent until all attempts have ended;
//     then all go again, in order.
//   - A batch that fails for good leaves a gap that brokers would refuse to pass. What stands behind it starts anew under
//     a new producer id if it was surely never appended, and is reported as indeterminate if it may have been: under
//     another id brokers could not recognise it.
//   - batch.maybe never becomes false. A batch that may have been appended never fails with a definite error.
//   - Sending again ends within 10 minutes, since brokers forget a silent producer after 15.
//
// # Reading
//
// A Reader has one Fetch stream for each broker that leads partitions it reads (reader_assign.go, reader_stream.go). The
// broker sends as much as it was given credit for; credit comes back as the caller's goroutine takes batches apart
// (reader_decode.go). A partition is fetched again from the first offset that was not delivered when its stream breaks or
// its leader moves. The iteration gives offsets that rise one by one, or an error.
//
// # Changing the cluster
//
// An Admin's call is made at one broker after the other (retry.go), also after an attempt that may have been carried out. So that all of
// them change one topic, or one move, they name its id, which is asked for first (onetopic.go).
//
// # Who leads what
//
// metadata.go is the cache, refresh.go keeps it fresh: one request at a time, brokers in turn, quick polls while a leader is
// looked for. A higher term wins over a lower one, whoever tells it. That a topic does not exist is believed after
// several answers.
//
// # Locks
//
// producer.mu comes before metadata.mu; Reader.mu comes before metadata.mu; neither is held while a promise or a hook runs
// or the network is used. Every
// goroutine ends with Client.Close, or with Reader.Close.
//
// Callers: programs that use Runnel, cmd/brokerctl, bench.
package client
