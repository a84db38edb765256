package broker

import (
	"runtime"
	"time"

	"github.com/runnel-io/runnel/partition"
)

// maxTopicBytes bounds what is kept of a topic's name while decoding; a legal one has at most 249 bytes.
const maxTopicBytes = 256

// Limits bound what one client can make the broker hold. A zero field means its default.
//
// In all, the client port holds at most, in bytes, and as much again that Go's collector has not found yet:
//
//	  memory.produce.bytes                       requests in flight
//	+ streams x (MessageBytes + windowBytes)     of each: a request that is being received or waits, and what follows it
//	+ produce streams x 25 MiB                   answers that nobody reads: of UnansweredPartitions and one more request, and of two requests
//	                                             as gRPC has them, each with an error of 1.25 KiB, which quotes a topic's name that cannot
//	                                             be printed; of names that topics can have, a fifth of that
//	+ fetch streams x 2 x the largest response   one that waits for its client, and the next: 5/4 ResponseBytes, or a batch if that is larger
//	+ FetchOnceHeldBytes                         what long polls have read, until gRPC has encoded it
//	+ long polls x FetchOnceBytes                the answer that waits for its client; a batch or a record if that is larger
//	+ Decompressions x 16 max.message.bytes      what is decompressed, 256 MiB each at most
//	+ connections x 40 KiB                       that say nothing
//
// So it grows with the streams, of which a connection has up to GRPCOptions.MaxStreams. A producer of the SDK sends requests of about
// 1 MB, so that a hundred that wait hold 300 MB, and ten thousand 30 GB: gRPC has the whole of a request in memory before anybody is asked
// whether there is room.
type Limits struct {
	// MessageBytes is the largest request on the wire. Default 17 MiB: the largest batch, and room for the rest. Each stream may have one
	// that waits for the budget.
	MessageBytes int
	// PartitionsPerRequest bounds a request of any kind, and the partitions of a fetch stream. Default 4096.
	PartitionsPerRequest int
	// PlainRecordsPerRequest bounds plain records and their headers in a produce request: decoded, each costs some
	// 80 bytes however small it was on the wire. Default 131072.
	PlainRecordsPerRequest int
	// InFlightPerStream bounds the unanswered requests of a produce stream. The next one is not read. Default 256.
	InFlightPerStream int
	// UnansweredPartitions bounds the partitions of those requests: while so many are unanswered, no request is read. Default 8192.
	UnansweredPartitions int
	// ResponseBytes is what a fetch response holds before it is sent; one batch above it is still sent. Default 1 MiB.
	ResponseBytes int
	// CreditBytes is the most credit that a fetch stream keeps; what a client grants beyond it is dropped. Default 64 MiB.
	CreditBytes int64
	// FetchOnceBytes and FetchOnceWait bound the long poll. Defaults 16 MiB and one minute.
	FetchOnceBytes int
	FetchOnceWait  time.Duration
	// FetchOnceHeldBytes bounds what all long polls together hold from reading it until gRPC has encoded it. One that waits for records
	// holds nothing. Default 64 MiB.
	FetchOnceHeldBytes int64
	// Decompressions bounds the batches decompressed at once, over all streams. Default: the number of CPUs.
	Decompressions int
	// OffsetLookups bounds the partitions that one ListOffsets looks up at once. Default 16.
	OffsetLookups int
	// StopGrace is how long a stopping broker waits for produce requests in flight. Default 500 ms.
	StopGrace time.Duration
}

func (l Limits) withDefaults() Limits {
	def(&l.MessageBytes, partition.MaxBatchBytes+2<<20)
	def(&l.PartitionsPerRequest, 4096)
	def(&l.PlainRecordsPerRequest, 128<<10)
	def(&l.InFlightPerStream, 256)
	def(&l.UnansweredPartitions, 8192)
	def(&l.ResponseBytes, 1<<20)
	def(&l.CreditBytes, 64<<20)
	def(&l.FetchOnceBytes, 16<<20)
	def(&l.FetchOnceWait, time.Minute)
	def(&l.FetchOnceHeldBytes, 64<<20)
	def(&l.Decompressions, runtime.GOMAXPROCS(0))
	def(&l.OffsetLookups, 16)
	def(&l.StopGrace, 500*time.Millisecond)
	return l
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
