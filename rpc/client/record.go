package client

import (
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// AnyPartition in Record.Partition lets the client choose: by key, or for a record without a key the partition that is
// filled at the moment.
const AnyPartition int32 = -1

// Error is the type of every error that a promise, a reader or a call gives: its Kind tells whether the request had an
// effect, its Message what to do.
type Error = runnelv1.Error

// Header is one header of a record.
type Header = record.RecordHeader

// Record is one record, to be written or read.
//
// A record handed to Produce belongs to the client until its promise has been called; the client then has set Partition
// and Offset. Key and Value of a record read from a Reader point into the buffer of its whole batch: keeping one record
// keeps the batch in memory, so copy what is kept long.
type Record struct {
	Topic string
	// Partition is AnyPartition or the partition to write to. After the acknowledgement it is the one written to.
	Partition int32
	// Key and Value may be nil, which is not the same as empty.
	Key, Value []byte
	Headers    []Header
	// Timestamp has millisecond resolution. The zero time means the time of the call to Produce.
	Timestamp time.Time
	// Offset is set by the acknowledgement, and in records that were read.
	Offset int64
}

type atKind uint8

const (
	atStart atKind = iota
	atEnd
	atTime
	atOffset
)

// At is a place in a partition, for Client.ListOffsets. The zero value is the log's start.
type At struct {
	kind   atKind
	ms     int64
	offset int64
}

// AtStart is the log start offset: the first record that is still there.
func AtStart() At { return At{kind: atStart} }

// AtEnd is the high watermark, read so that it is at or above every offset acknowledged before the call.
func AtEnd() At { return At{kind: atEnd} }

// AtTime is the first record with the timestamp t or a later one, or the end if there is none.
func AtTime(t time.Time) At { return At{kind: atTime, ms: t.UnixMilli()} }
