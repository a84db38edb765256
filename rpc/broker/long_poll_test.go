package broker

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func heapInUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one found in pools
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A long poll may wait for a minute, and a connection may have a thousand: none holds what it has read of too little.
func TestALongPollThatWaitsHoldsNothingOfWhatItRead(t *testing.T) {
	const calls = 4
	for _, plain := range []bool{false, true} {
		h := newHarness(t, harnessOptions{})
		for range 15 {
			h.rep.append(t, 10, 100<<10)
		}
		before := heapInUse()
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				r, err := h.client.FetchOnce(h.ctx, &runnelv1.FetchOnceRequest{
					Partitions: []*runnelv1.FetchPartition{from(0, 0)}, MaxWaitMs: 60_000, MinBytes: 1 << 30, MaxBytes: 1 << 30, PlainRecords: plain,
				})
				if err != nil || r.GetResults()[0].GetResult().GetError() == nil {
					t.Errorf("answered with %v, want the partition's error", err)
				}
			})
		}
		for range calls {
			if at := <-h.rep.parked; at != 150 {
				t.Errorf("waits beyond %d, want 150", at)
			}
		}
		if held := heapInUse() - before; held > 4<<20 {
			t.Errorf("plain records %v: %d long polls that wait hold %d bytes", plain, calls, held)
		}
		h.rep.fail(runnelv1.Errorf(reasonUnavailable, "over"))
		wg.Wait()
	}
}

// What all long polls read at once is bounded, until gRPC has encoded it.
func TestLongPollsHoldOnlySoMuchAtOnce(t *testing.T) {
	const calls, room = 6, 2
	h := newHarness(t, harnessOptions{})
	each := int64(2*h.rep.limits.MaxBytes + onceResultBytes) // plain records take as much as the batch that they are made of
	held := newFakeBudget(room * each)
	h.s.polls = held
	gate := gatedReplica{fakeReplica: h.rep, entered: make(chan struct{}, calls), pass: make(chan struct{})}
	h.replicas.m["t/0"] = gate
	open := sync.OnceFunc(func() { close(gate.pass) })
	defer open() // or a failure would hang
	h.rep.append(t, 1, 100)
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			r, err := h.client.FetchOnce(h.ctx, &runnelv1.FetchOnceRequest{
				Partitions: []*runnelv1.FetchPartition{from(0, 0)}, PlainRecords: true, MaxBytes: 1 << 10,
			})
			if err != nil || len(r.GetResults()[0].GetRecords()) != 1 {
				t.Errorf("%v %v", r, err)
			}
		})
	}
	for range calls - room {
		select {
		case <-held.waiting:
		case <-h.ctx.Done():
			t.Fatalf("%d of %d calls read at once, there is room for %d", len(gate.entered), calls, room)
		}
	}
	if n := len(gate.entered); n > room {
		t.Errorf("%d calls read at once, there is room for %d", n, room)
	}
	open()
	wg.Wait()
	late := time.After(20 * time.Second)
	for held.inUse() > 0 { // an answer is given back when its call has ended on the broker too
		select {
		case <-late:
			t.Fatalf("%d bytes are lost to all other long polls", held.inUse())
		default:
			runtime.Gosched()
		}
	}
}

// gatedReplica reads once it is let through.
type gatedReplica struct {
	*fakeReplica
	entered chan struct{}
	pass    chan struct{}
}

func (r gatedReplica) TryFetch(q partition.FetchRequest, dst []byte) (partition.FetchResult, error) {
	r.entered <- struct{}{}
	<-r.pass
	return r.fakeReplica.TryFetch(q, dst)
}

// A poll that can take no more of what is there is answered, although that is less than it waits for: waiting brings nothing.
func TestALongPollWithoutRoomForMoreIsAnswered(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	for range 2 {
		h.rep.append(t, 1, 1000)
	}
	for _, plain := range []bool{false, true} {
		r := must[*runnelv1.FetchOnceResponse](t)(h.client.FetchOnce(h.ctx, &runnelv1.FetchOnceRequest{
			Partitions: []*runnelv1.FetchPartition{from(0, 0)}, MaxWaitMs: 60_000, MinBytes: 2000, MaxBytes: 2000, PlainRecords: plain,
		}))
		if next := r.GetResults()[0].GetResult().GetNextOffset(); next != 1 {
			t.Errorf("plain records %v: it is answered up to offset %d, want 1", plain, next)
		}
	}
}

func TestALongPollDecompressesInItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{limits: Limits{Decompressions: 1}})
		batch := makeBatch(t, 3, 100, record.CodecZstd)
		h.rep.appendLocked(batch, must[record.Header](t)(record.ParseHeader(batch)))
		q := &runnelv1.FetchOnceRequest{Partitions: []*runnelv1.FetchPartition{from(0, 0)}, PlainRecords: true}
		h.s.decompress <- struct{}{} // somebody else's turn
		answers := make(chan *runnelv1.FetchOnceResponse, 2)
		poll := func(ctx context.Context) {
			r, err := h.s.FetchOnce(ctx, q)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			answers <- r
		}
		ctx, cancel := context.WithCancel(h.ctx)
		go poll(ctx)
		go poll(h.ctx)
		if synctest.Wait(); len(answers) > 0 {
			t.Fatal("answered before its turn")
		}
		cancel()
		if r := <-answers; r != nil {
			t.Errorf("a call that has ended is answered with %v", r)
		}
		<-h.s.decompress
		if r := <-answers; len(r.GetResults()) != 1 || len(r.GetResults()[0].GetRecords()) != 3 {
			t.Errorf("answered with %v", r)
		}
	})
}

// Plain records count as what they take, however small they are.
func TestPlainRecordsTakeNoMoreThanTheyCountAs(t *testing.T) {
	const n = 50_000
	h := newHarness(t, harnessOptions{})
	recs := make([]record.Record, n)
	for i := range recs {
		recs[i] = record.Record{Key: []byte("k"), Value: []byte("value"), Headers: []record.RecordHeader{{Key: "h", Value: []byte("x")}}}
	}
	batch := must[[]byte](t)(record.Encode(nil, recs, record.EncodeOptions{ProducerID: -1}))
	record.Stamp(batch, 0, 7)
	out := &runnelv1.FetchOnceResult{Result: &runnelv1.FetchPartitionResult{}}
	before := heapInUse()
	size, e := h.s.plainRecords(h.ctx, out, batch, 0, 1<<30, record.Limits{})
	if e != nil || len(out.GetRecords()) != n {
		t.Fatalf("%d records, %v", len(out.GetRecords()), e)
	}
	held := heapInUse() - before
	runtime.KeepAlive(batch)
	if runtime.KeepAlive(out); held > size {
		t.Errorf("%d records take %d bytes and count as %d", n, held, size)
	}
	t.Logf("%d records take %d bytes and count as %d", n, held, size)
}
