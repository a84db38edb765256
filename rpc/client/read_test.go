package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// fill appends batches of size records to a partition, values "0", "1", ...
func (c *fakeCluster) fill(topic string, n int32, batches, size int, codec record.Codec) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.topics[topic][n]
	for range batches {
		recs := make([]record.Record, size)
		for i := range recs {
			off := p.next + int64(i)
			recs[i] = record.Record{Key: []byte{byte(n)}, Value: fmt.Append(nil, off), TimestampMS: 1000 + off,
				Headers: []record.RecordHeader{{Key: "h", Value: []byte("v")}}}
		}
		data, err := record.Encode(nil, recs, record.EncodeOptions{Codec: codec, ProducerID: -1})
		if err != nil {
			c.t.Fatal(err)
		}
		record.Stamp(data, p.next, int32(p.term))
		p.log = append(p.log, fakeBatch{count: int32(size), base: p.next, data: data})
		p.next += int64(size)
	}
	c.notifyLocked()
}

func reader(t *testing.T, cl *Client, topic string, opts ...ReaderOption) *Reader {
	t.Helper()
	r, err := cl.NewReader(topic, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// collect reads until there are n records, or to the end if n is negative. It checks that each partition's offsets rise
// one by one and match the values.
func collect(t *testing.T, r *Reader, n int) map[int32][]int64 {
	t.Helper()
	got := make(map[int32][]int64)
	count := 0
	if n == 0 {
		return got
	}
	for rec, err := range r.Records(within(t, 30*time.Second)) {
		if err != nil {
			t.Fatalf("after %d records: %v", count, err)
		}
		offs := got[rec.Partition]
		if len(offs) > 0 && rec.Offset != offs[len(offs)-1]+1 {
			t.Fatalf("partition %d: offset %d after %d", rec.Partition, rec.Offset, offs[len(offs)-1])
		}
		if string(rec.Value) != fmt.Sprint(rec.Offset) {
			t.Fatalf("offset %d has value %q", rec.Offset, rec.Value)
		}
		got[rec.Partition] = append(offs, rec.Offset)
		if count++; count == n {
			break
		}
	}
	return got
}

func wantSpan(t *testing.T, offs []int64, from, to int64) {
	t.Helper()
	if len(offs) != int(to-from) || len(offs) > 0 && offs[0] != from {
		t.Fatalf("got %d offsets %v, want %d to %d", len(offs), offs[:min(3, len(offs))], from, to-1)
	}
}

func TestReadsEveryPartitionToItsEnd(t *testing.T) {
	for _, codec := range []record.Codec{record.CodecNone, record.CodecZstd} {
		simulate(t, func(t *testing.T) {
			c := newFakeCluster(t, 3)
			c.topic("t", 1, 2, 3, 1)
			for n := range int32(3) { // partition 3 stays empty
				c.fill("t", n, 10+int(n), 100, codec)
			}
			r := reader(t, c.client(), "t", ToEnd())
			got := collect(t, r, -1)
			for n := range int32(3) {
				wantSpan(t, got[n], 0, 1000+100*int64(n))
			}
			c.fill("t", 0, 1, 10, codec)
			if got := collect(t, r, -1); len(got) != 0 {
				t.Fatalf("read beyond the end that was: %v", got)
			}
		})
	}
}

func TestStartPositions(t *testing.T) {
	for _, tc := range []struct {
		name  string
		start ReaderOption
		from  int64
	}{
		{"start", FromStart(), 0},
		{"offset within a batch", FromOffset(55), 55},
		{"time, at its batch", FromTime(time.UnixMilli(1042)), 40},
	} {
		simulate(t, func(t *testing.T) {
			c := newFakeCluster(t, 1)
			c.topic("t", 1, 1)
			c.fill("t", 1, 10, 10, record.CodecNone)
			got := collect(t, reader(t, c.client(), "t", tc.start, ToEnd(), Partitions(1)), -1)
			wantSpan(t, got[1], tc.from, 100)
		})
	}
}

func TestFromEndReadsWhatComesAfterReady(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.fill("t", 0, 10, 10, record.CodecNone)
		r := reader(t, c.client(), "t", FromEnd())
		if err := r.Ready(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { c.fill("t", 0, 2, 10, record.CodecNone) })
		wantSpan(t, collect(t, r, 20)[0], 100, 120)
	})
}

func TestReadGoesOnAfterFaults(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 3)
		c.topic("t", 1, 2, 1)
		r := reader(t, c.client(), "t")
		faults := []func(){
			func() { c.lead("t", 0, 2) },
			func() { c.stop(2); c.lead("t", 0, 3); c.lead("t", 1, 3) },
			func() { c.restart(2); c.lead("t", 2, 2) },
			func() { c.lead("t", 1, noLeader) },
			func() { c.lead("t", 1, 1) },
			func() { c.stop(1); c.restart(1) },
		}
		go func() { // ends before the reads below do
			for i, f := range faults {
				for n := range int32(3) {
					c.fill("t", n, 5, 20, record.CodecNone)
				}
				wait(t.Context(), time.Duration(1+i)*time.Millisecond)
				f()
				for n := range int32(3) {
					c.fill("t", n, 5, 20, record.CodecNone)
				}
				wait(t.Context(), time.Second)
			}
		}()
		got := collect(t, r, 3*len(faults)*200)
		for n := range int32(3) {
			wantSpan(t, got[n], 0, int64(len(faults)*200))
		}
	})
}

func TestReaderNeverHasMoreThanItsCredit(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.fill("t", 0, 100, 1000, record.CodecNone)
		r := reader(t, c.client(), "t", ToEnd(), ReaderBytes(minReaderBytes))
		if err := r.Ready(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}
		wait(t.Context(), time.Second)
		held := 0
		for range len(r.fetched) {
			f := <-r.fetched
			held += len(f.batches)
			r.fetched <- f
		}
		if held == 0 || held > minReaderBytes {
			t.Fatalf("%d bytes were sent ahead, want at most %d", held, minReaderBytes)
		}
		wantSpan(t, collect(t, r, -1)[0], 0, 100_000)
	})
}

func TestOutOfRange(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.fill("t", 0, 10, 10, record.CodecNone)
		c.locked(func() { c.topics["t"][0].start = 35 })
		cl := c.client()
		r := reader(t, cl, "t", FromOffset(3), ToEnd())
		for range 2 { // it stays an error
			for _, err := range r.Records(within(t, time.Second)) {
				wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE)
				if want := "starts at offset 35"; !strings.Contains(err.Error(), want) {
					t.Fatalf("%q does not say %q", err, want)
				}
			}
		}
		wantSpan(t, collect(t, reader(t, cl, "t", FromOffset(3), ToEnd(), ResetToStart()), -1)[0], 35, 100)
	})
}

func TestCorruptBatch(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		const size = 2000 // so that several responses are under way when the iteration meets the batch
		c.fill("t", 0, 10, size, record.CodecNone)
		c.flipOnce(4 * size)
		cl := c.client()
		r := reader(t, cl, "t", ToEnd())
		var last int64 = -1
		var failed error
		for rec, err := range r.Records(within(t, 5*time.Second)) {
			if err != nil {
				failed = err
				break
			}
			last = rec.Offset
		}
		wantError(t, failed, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH)
		if last != 4*size-1 {
			t.Fatalf("the last record before the corrupt batch was %d, want %d", last, 4*size-1)
		}
		// It was the wire: reading again helps.
		wantSpan(t, collect(t, r, -1)[0], 4*size, 10*size)

		c.locked(func() { c.topics["t"][0].log[4].data[80] ^= 1 })
		var from, to int64
		r = reader(t, cl, "t", ToEnd(), SkipCorrupt(func(_ int32, f, u int64, _ error) { from, to = f, u }))
		n := 0
		for rec, err := range r.Records(within(t, 5*time.Second)) {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Offset >= 4*size && rec.Offset < 5*size {
				t.Fatalf("offset %d is in the corrupt batch", rec.Offset)
			}
			n++
		}
		if n != 9*size || from != 4*size || to != 5*size {
			t.Fatalf("%d records, skipped %d to %d", n, from, to)
		}
	})
}

// flipOnce has a bit of the batch at base flipped on its way to a reader, one time.
func (c *fakeCluster) flipOnce(base int64) {
	c.locked(func() {
		c.wire = func(b int64, data []byte) []byte {
			if b != base {
				return data
			}
			c.wire = nil
			bad := slices.Clone(data)
			bad[80] ^= 1
			return bad
		}
	})
}

// What a stream has received already when its reader goes back to an earlier offset is not what that is read from.
func TestAReaderThatReadsABatchAgainLeavesOutNothing(t *testing.T) {
	simulate(t, func(t *testing.T) {
		const size = 5000 // a response each
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.fill("t", 0, 30, size, record.CodecNone)
		cl := c.client()
		for range 30 {
			c.flipOnce(size)
			r := reader(t, cl, "t", FromOffset(size-1))
			for _, err := range r.Records(within(t, 5*time.Second)) {
				if err == nil {
					continue
				}
				wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH)
			}
			wantSpan(t, collect(t, r, 2*size)[0], size, 3*size)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestReadEnds(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.fill("t", 0, 1, 3, record.CodecNone)
		cl := c.client()
		r := reader(t, cl, "t")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var last error
		n := 0
		for _, err := range r.Records(ctx) {
			if last = err; err == nil {
				n++
			}
		}
		if n != 3 || !errors.Is(last, context.DeadlineExceeded) {
			t.Fatalf("%d records, then %v", n, last)
		}
		unknown := reader(t, cl, "nope")
		wantError(t, unknown.Ready(within(t, time.Second)), runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
		time.AfterFunc(time.Second, func() {
			if err := cl.Close(); err != nil {
				t.Error(err)
			}
		})
		for _, err := range r.Records(within(t, 10*time.Second)) {
			wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_STOPPING)
		}
	})
}

func TestListOffsets(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 3)
		c.topic("t", 1, noLeader)
		c.fill("t", 0, 10, 10, record.CodecNone)
		time.AfterFunc(time.Second, func() { c.lead("t", 1, 2) })
		got, err := c.client().ListOffsets(within(t, 5*time.Second), "t", AtEnd())
		if err != nil || got[0] != 100 || got[1] != 0 || len(got) != 2 {
			t.Fatalf("got %v, %v", got, err)
		}
	})
}

// What was asked of one broker may be done after another one has refused it.
func TestAChangeIsNotRefusedForCertainAfterAnAttemptThatMayHaveMadeIt(t *testing.T) {
	simulate(t, func(t *testing.T) {
		const few = runnelv1.ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS
		c := newFakeCluster(t, 3)
		refused := runnelv1.Errorf(few, "too few brokers")
		c.adminErr = []*Error{refused, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "no answer"), refused}
		a := c.client().Admin()
		_, err := a.CreateTopic(within(t, 5*time.Second), &runnelv1.CreateTopicRequest{Name: "t"})
		wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, few)
		_, err = a.CreateTopic(within(t, 5*time.Second), &runnelv1.CreateTopicRequest{Name: "u"})
		wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, few)
	})
}

func TestCreateTopicSucceedsAlthoughItsFirstAnswerWasLost(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 3)
		c.adminErr = []*Error{runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "no leaders yet")}
		c.stop(2)
		a := c.client().Admin()
		resp, err := a.CreateTopic(within(t, 5*time.Second), &runnelv1.CreateTopicRequest{Name: "t", Partitions: 1})
		if err != nil || resp.GetId() != 9 || resp.GetPartitions() != 1 {
			t.Fatalf("got %v, %v", resp, err)
		}
		_, err = a.CreateTopic(within(t, 5*time.Second), &runnelv1.CreateTopicRequest{Name: "t", Partitions: 1})
		wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS)
	})
}
