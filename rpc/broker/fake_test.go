package broker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClock moves only when a test says so.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*fakeTimer
	made   chan time.Duration // each AfterFunc, for tests that wait for one
}

type fakeTimer struct {
	c    *fakeClock
	at   time.Time
	f    func()
	done bool
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.UnixMilli(1_700_000_000_000), made: make(chan time.Duration, 1000)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Wall() time.Time { return c.Now() }

func (c *fakeClock) AfterFunc(d time.Duration, f func()) env.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &fakeTimer{c: c, at: c.now.Add(d), f: f}
	c.timers = append(c.timers, t)
	c.made <- d
	return t
}

func (t *fakeTimer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	was := !t.done
	t.done = true
	return was
}

func (t *fakeTimer) Reset(time.Duration) bool { panic("not used here") }

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	for _, t := range c.timers {
		if !t.done && !t.at.After(c.now) {
			t.done = true
			due = append(due, t.f)
		}
	}
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// fakeBudget bounds bytes like the broker's.
type fakeBudget struct {
	mu      sync.Mutex
	size    int64
	used    int64
	freed   chan struct{}
	waiting chan struct{} // a token for each Acquire that blocks
}

func newFakeBudget(size int64) *fakeBudget {
	return &fakeBudget{size: size, freed: make(chan struct{}), waiting: make(chan struct{}, 1000)}
}

func (b *fakeBudget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used > 0 && b.used+n > b.size {
		return false
	}
	b.used += n
	return true
}

func (b *fakeBudget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used -= n; b.used < 0 {
		panic("more released than acquired")
	}
	close(b.freed)
	b.freed = make(chan struct{})
}

func (b *fakeBudget) Acquire(ctx context.Context, n int64) error {
	for first := true; ; first = false {
		b.mu.Lock()
		freed := b.freed
		b.mu.Unlock()
		if b.TryAcquire(n) {
			return nil
		}
		if first {
			b.waiting <- struct{}{}
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *fakeBudget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// fakeReplica keeps batches in memory. With hold set, produced batches are answered by release.
type fakeReplica struct {
	mu      sync.Mutex
	hold    bool
	held    []func()
	most    int // held at once
	got     chan struct{}
	batches [][]byte // stamped
	bases   []int64
	next    int64
	start   int64
	waiters map[int]fakeWaiter
	waits   int
	limits  record.Limits
	err     *runnelv1.Error // of produce, fetch and look-ups
	status  partition.Status
	parked  chan int64 // the offset of each WaitBeyond that waits
	onTry   func(partition.FetchRequest)
}

type fakeWaiter struct {
	offset int64
	f      func()
}

func newFakeReplica() *fakeReplica {
	return &fakeReplica{
		got: make(chan struct{}, 10000), parked: make(chan int64, 10000), waiters: map[int]fakeWaiter{},
		limits: record.Limits{MaxBytes: 1 << 20, MaxRatio: 4}, status: partition.Status{Leader: true, LeaderBroker: 1, Term: 7},
	}
}

func (r *fakeReplica) Produce([]byte, record.Header, func(partition.ProduceResult)) {
	panic("the copying way was taken")
}

// ProduceOwned proves that it owns the buffer by writing all over the headroom.
func (r *fakeReplica) ProduceOwned(buf []byte, h record.Header, done func(partition.ProduceResult)) {
	record.PutEnvelope(buf, record.KindBatch, 1)
	r.mu.Lock()
	if e := r.err; e != nil {
		r.mu.Unlock()
		done(partition.ProduceResult{Err: e})
		return
	}
	base := r.next
	r.appendLocked(buf[record.EnvelopeLen:], h)
	answer := func() { done(partition.ProduceResult{Base: base, LogStart: r.start}) }
	if r.hold {
		r.held = append(r.held, answer)
		r.most = max(r.most, len(r.held))
		answer = nil
	}
	wake := r.wakeLocked()
	r.mu.Unlock()
	wake()
	if answer != nil {
		answer()
	}
	r.got <- struct{}{}
}

func (r *fakeReplica) appendLocked(batch []byte, h record.Header) {
	record.Stamp(batch, r.next, 7)
	r.batches, r.bases = append(r.batches, batch), append(r.bases, r.next)
	r.next += int64(h.Count)
}

// append adds a batch of n records of size bytes.
func (r *fakeReplica) append(t testing.TB, n, size int) {
	t.Helper()
	b := makeBatch(t, n, size, record.CodecNone)
	h, err := record.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.appendLocked(b, h)
	wake := r.wakeLocked()
	r.mu.Unlock()
	wake()
}

func (r *fakeReplica) wakeLocked() func() {
	var fs []func()
	for id, w := range r.waiters {
		if r.next > w.offset {
			fs = append(fs, w.f)
			delete(r.waiters, id)
		}
	}
	return func() {
		for _, f := range fs {
			f()
		}
	}
}

// fail makes every call fail and wakes all waiters.
func (r *fakeReplica) fail(e *runnelv1.Error) {
	r.mu.Lock()
	r.err = e
	ws := r.waiters
	r.waiters = map[int]fakeWaiter{}
	r.mu.Unlock()
	for _, w := range ws {
		w.f()
	}
}

// release answers the oldest n held batches, on this goroutine as a worker would.
func (r *fakeReplica) release(n int) {
	r.mu.Lock()
	fs := r.held[:n]
	r.held = r.held[n:]
	r.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

func (r *fakeReplica) Limits() record.Limits { return r.limits }

func (r *fakeReplica) TryFetch(q partition.FetchRequest, dst []byte) (partition.FetchResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.onTry != nil {
		r.onTry(q)
	}
	if r.err != nil {
		return partition.FetchResult{Next: q.Offset, HighWatermark: r.next, LogStart: r.start}, r.err
	}
	res := partition.FetchResult{Batches: dst, Next: q.Offset, HighWatermark: r.next, LogStart: r.start}
	for i, b := range r.batches {
		end := r.next
		if i+1 < len(r.bases) {
			end = r.bases[i+1]
		}
		if end <= q.Offset {
			continue
		}
		if len(res.Batches) > 0 && len(res.Batches)+len(b) > q.MaxBytes {
			break
		}
		res.Batches, res.Next = append(res.Batches, b...), end
	}
	return res, nil
}

func (r *fakeReplica) WaitBeyond(offset int64, f func()) func() {
	r.mu.Lock()
	if r.next > offset || r.err != nil {
		r.mu.Unlock()
		f()
		return func() {}
	}
	id := r.waits
	r.waits++
	r.waiters[id] = fakeWaiter{offset, f}
	r.mu.Unlock()
	r.parked <- offset
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waiters, id)
	}
}

func (r *fakeReplica) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiters)
}

func (r *fakeReplica) StartOffset() int64 { return r.start }

func (r *fakeReplica) HighWatermark() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

func (r *fakeReplica) EndOffset(context.Context) (int64, error) {
	if r.err != nil {
		return 0, r.err
	}
	return r.HighWatermark(), nil
}

func (r *fakeReplica) OffsetAtTime(_ context.Context, ms int64) (int64, error) {
	if r.err != nil {
		return 0, fmt.Errorf("look up: %w", r.err)
	}
	return ms / 1000, nil
}

func (r *fakeReplica) Status() partition.Status { return r.status }

// fakeReplicas finds fakes by "topic/n".
type fakeReplicas struct {
	mu sync.Mutex
	m  map[string]replica
	e  map[string]*runnelv1.Error
}

func (f *fakeReplicas) replica(topic string, n int32) (replica, *runnelv1.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := fmt.Sprintf("%s/%d", topic, n)
	if e := f.e[key]; e != nil {
		return nil, e
	}
	if r := f.m[key]; r != nil {
		return r, nil
	}
	return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "no topic %q", topic)
}

func (f *fakeReplicas) refuse(key string, e *runnelv1.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.e[key] = e
}
