package broker

import (
	"bytes"
	"context"
	"errors"
	"unsafe"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// What is made of a record or a header takes so much beside its bytes, with its place in a list that has room to grow and
// what Go's allocator rounds up. Small records take far more than their bytes.
const (
	plainRecordBytes = int(unsafe.Sizeof(runnelv1.OffsetRecord{})+unsafe.Sizeof(runnelv1.Record{})) + 2*8 + 24
	plainHeaderBytes = int(unsafe.Sizeof(runnelv1.Header{})) + 2*8 + 24
)

var (
	errFull   = errors.New("the answer is full")
	errNoTurn = errors.New("the call ended before its turn to decompress")
)

// plainRecords decodes batches into records from the offset asked for, about room bytes but at least one record, and
// sets the offset to ask for next. A batch that cannot be decoded is an error after which next_offset skips it, unless
// records before it are answered first. Once ctx has ended, what it answers is of no use.
func (s *Server) plainRecords(ctx context.Context, out *runnelv1.FetchOnceResult, batches []byte, offset int64, room int, l record.Limits) (size int, e *runnelv1.Error) {
	next := offset
	for batch, err := range record.Batches(batches) {
		var h record.Header
		if err == nil {
			h, err = record.ParseHeader(batch)
		}
		if err == nil {
			err = s.eachRecord(ctx, batch, h, l, func(at int64, r record.Record) error {
				if at < offset {
					return nil
				}
				n := plainSize(r)
				if size > 0 && size+n > room {
					return errFull
				}
				size += n
				next = at + 1
				out.Records = append(out.Records, &runnelv1.OffsetRecord{Offset: at, Record: toProto(r)})
				return nil
			})
		}
		if errors.Is(err, errFull) || errors.Is(err, errNoTurn) {
			break
		}
		if err != nil {
			if len(out.Records) > 0 && h.Size > 0 && out.Records[len(out.Records)-1].GetOffset() < h.BaseOffset {
				break // answer what came before; the next poll begins here and reports it
			}
			out.Records = nil
			out.Result.NextOffset = max(next, h.NextOffset(), offset)
			return 0, runnelv1.Errorf(reasonCorrupt, "the batch at offset %d cannot be decoded: %v; go on at next_offset %d to skip it",
				h.BaseOffset, err, out.Result.NextOffset)
		}
		next = max(next, h.NextOffset())
	}
	out.Result.NextOffset = next
	return size, nil
}

// eachRecord is record.Each, in its turn if there is something to decompress.
func (s *Server) eachRecord(ctx context.Context, batch []byte, h record.Header, l record.Limits, f func(int64, record.Record) error) error {
	if h.Codec() != record.CodecNone {
		select {
		case s.decompress <- struct{}{}:
			defer func() { <-s.decompress }()
		case <-ctx.Done():
			return errNoTurn
		}
	}
	return record.Each(batch, l.MaxDecompressed(), f)
}

// plainSize is what toProto takes for a record in an answer.
func plainSize(r record.Record) int {
	n := len(r.Key) + len(r.Value) + plainRecordBytes
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value) + plainHeaderBytes
	}
	return n
}

// toProto copies a record: one that pointed into its batch would keep all of that, decompressed, for as long as the answer is there.
func toProto(r record.Record) *runnelv1.Record {
	out := &runnelv1.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), TimestampMs: r.TimestampMS}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, &runnelv1.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	return out
}
