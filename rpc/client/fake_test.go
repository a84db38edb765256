package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// verdict is what a fake broker does with one batch.
type verdict struct {
	err    *Error // answer this, and do not append
	breaks bool   // end the stream instead of answering
	hangs  bool   // never answer
	delay  time.Duration
	// appends: append although the answer is lost.
	appends bool
}

type fakeProducer struct {
	next   int32
	recent []fakeBatch
}

type fakeBatch struct {
	seq, count int32
	base       int64
	data       []byte
}

type fakePart struct {
	leader    int32
	term      int64
	start     int64
	next      int64
	log       []fakeBatch
	producers map[int64]*fakeProducer
}

type fakeBroker struct {
	runnelv1.UnimplementedBrokerServer
	runnelv1.UnimplementedAdminServer
	c    *fakeCluster
	id   int32
	srv  *grpc.Server
	lis  *bufconn.Listener
	down bool // guarded by fakeCluster.mu
	// blind: knows of no topics, as a broker that has just started.
	blind bool
	// foreign: says that it is of another cluster. Guarded by fakeCluster.mu.
	foreign bool
	// old: does not tell its cluster when it gives a producer id, as older releases.
	old bool
	// noIDs is what InitProducer answers, if set. Guarded by fakeCluster.mu.
	noIDs error
	// deaf: opens produce streams and reads nothing. Guarded by fakeCluster.mu.
	deaf bool
}

// fakeCluster speaks the real protocol. Its log is one for all brokers, as if replication took no time.
type fakeCluster struct {
	t  testing.TB
	mu sync.Mutex

	brokers  map[int32]*fakeBroker
	topics   map[string][]*fakePart
	revision uint64
	nextPID  int64
	changed  chan struct{}
	// judge is asked before each batch, with the lock held.
	judge    func(broker int32, topic string, n int32, h record.Header) verdict
	requests []int // how many partitions each produce request had
	pending  map[int32]int
	maxSeen  int // batches of one partition in the hands of brokers
	hints    bool
	config   map[string]string // of every topic
	denials  int               // metadata answers to come that know of no topics, of a broker that says it is up to date
	adminErr []*Error
	one      *fakeTopic        // that operators change
	created  map[string]string // topics by name: the request that made them
	// wire is what a reader is sent of a batch, if set. It is called with the lock held.
	wire   func(base int64, data []byte) []byte
	mute   bool             // fetch streams that are opened now deliver nothing
	strays map[string]int32 // the next connection to an address leads to this broker
	moved  map[int32]string // addresses of brokers that are not where they were
}

func addr(id int32) string { return fmt.Sprintf("broker-%d:1", id) }

// addrLocked is where a broker is now.
func (c *fakeCluster) addrLocked(id int32) string {
	if a := c.moved[id]; a != "" {
		return a
	}
	return addr(id)
}

func newFakeCluster(t testing.TB, brokers int) *fakeCluster {
	c := &fakeCluster{t: t, brokers: make(map[int32]*fakeBroker), topics: make(map[string][]*fakePart), revision: 1,
		nextPID: 1000, changed: make(chan struct{}), pending: make(map[int32]int), created: make(map[string]string)}
	for id := int32(1); id <= int32(brokers); id++ {
		b := &fakeBroker{c: c, id: id}
		c.brokers[id] = b
		b.start()
	}
	t.Cleanup(func() {
		for _, b := range c.brokers {
			c.stop(b.id)
		}
	})
	return c
}

func (b *fakeBroker) start(opts ...grpc.ServerOption) {
	srv, lis := grpc.NewServer(append([]grpc.ServerOption{grpc.MaxRecvMsgSize(64 << 20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.InitialWindowSize(windowBytes), grpc.InitialConnWindowSize(windowBytes)}, opts...)...), bufconn.Listen(1<<20)
	runnelv1.RegisterBrokerServer(srv, b)
	runnelv1.RegisterAdminServer(srv, b)
	b.c.locked(func() { b.srv, b.lis, b.down = srv, lis, false })
	go func() { _ = srv.Serve(lis) }() // ends with stop
}

// stop kills a broker: connections break, dials are refused.
func (c *fakeCluster) stop(id int32) {
	b := c.brokers[id]
	c.mu.Lock()
	was, srv := b.down, b.srv
	b.down = true
	c.notifyLocked()
	c.mu.Unlock()
	if !was {
		srv.Stop()
	}
}

func (c *fakeCluster) restart(id int32, opts ...grpc.ServerOption) { c.brokers[id].start(opts...) }

func (c *fakeCluster) topic(name string, leaders ...int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	parts := make([]*fakePart, len(leaders))
	for i, l := range leaders {
		parts[i] = &fakePart{leader: l, term: 1, producers: make(map[int64]*fakeProducer)}
	}
	c.topics[name] = parts
	c.revision++
	c.notifyLocked()
}

func (c *fakeCluster) lead(topic string, n, broker int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.topics[topic][n]
	p.leader = broker
	p.term++
	c.notifyLocked()
}

func (c *fakeCluster) notifyLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *fakeCluster) locked(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *fakeCluster) dial(_ context.Context, a string) (net.Conn, error) {
	var stray int32
	c.locked(func() {
		stray = c.strays[a]
		delete(c.strays, a)
	})
	if stray != 0 {
		return c.brokers[stray].lis.Dial()
	}
	for id, b := range c.brokers {
		c.mu.Lock()
		at, down, lis := c.addrLocked(id), b.down, b.lis
		c.mu.Unlock()
		if at == a {
			if down {
				return nil, errors.New("connection refused")
			}
			return lis.Dial()
		}
	}
	return nil, errors.New("no such host")
}

func (c *fakeCluster) client(opts ...Option) *Client {
	c.t.Helper()
	var seeds []string
	for id := int32(1); id <= int32(len(c.brokers)); id++ {
		seeds = append(seeds, addr(id))
	}
	cl, err := New(seeds, append([]Option{WithDialOptions(grpc.WithContextDialer(c.dial))}, opts...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			c.t.Errorf("close: %v", err)
		}
	})
	return cl
}

// values reads a partition's log as strings.
func (c *fakeCluster) values(topic string, n int32) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, b := range c.topics[topic][n].log {
		err := record.Each(b.data, 0, func(_ int64, r record.Record) error {
			out = append(out, string(r.Value))
			return nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
	return out
}

func (c *fakeCluster) partLocked(broker int32, topic string, n int32) (*fakePart, *Error) {
	parts := c.topics[topic]
	switch {
	case parts == nil || c.brokers[broker].blind:
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "no topic %s", topic)
	case int(n) >= len(parts):
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION, "no partition %d", n)
	case parts[n].leader != broker:
		e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "not the leader")
		if c.hints && parts[n].leader > 0 {
			e.LeaderId, e.LeaderAddress, e.LeaderTerm = parts[n].leader, c.addrLocked(parts[n].leader), parts[n].term
		}
		return nil, e
	}
	return parts[n], nil
}

// append is what a leader does, with the real rules for sequences.
func (p *fakePart) append(batch []byte, h record.Header) *runnelv1.ProducePartitionResult {
	fail := func(r runnelv1.ErrorReason, f string, a ...any) *runnelv1.ProducePartitionResult {
		return &runnelv1.ProducePartitionResult{Error: runnelv1.Errorf(r, f, a...)}
	}
	st := p.producers[h.ProducerID]
	if st == nil {
		if h.BaseSequence != 0 {
			return fail(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PRODUCER, "unknown producer %d", h.ProducerID)
		}
		st = &fakeProducer{}
		p.producers[h.ProducerID] = st
	}
	for _, b := range st.recent {
		if b.seq == h.BaseSequence && b.count == h.Count {
			return &runnelv1.ProducePartitionResult{BaseOffset: b.base, Duplicate: true}
		}
	}
	switch {
	case h.BaseSequence < st.next:
		return fail(runnelv1.ErrorReason_ERROR_REASON_DUPLICATE_SEQUENCE, "sequence %d is old", h.BaseSequence)
	case h.BaseSequence > st.next:
		return fail(runnelv1.ErrorReason_ERROR_REASON_OUT_OF_ORDER_SEQUENCE, "sequence %d, want %d", h.BaseSequence, st.next)
	}
	data := append([]byte(nil), batch...)
	record.Stamp(data, p.next, int32(p.term))
	b := fakeBatch{seq: h.BaseSequence, count: h.Count, base: p.next, data: data}
	p.log = append(p.log, b)
	p.next += int64(h.Count)
	st.next += h.Count
	if st.recent = append(st.recent, b); len(st.recent) > 5 {
		st.recent = st.recent[1:]
	}
	return &runnelv1.ProducePartitionResult{BaseOffset: b.base}
}

// cluster is what the broker says it belongs to.
func (b *fakeBroker) cluster() string {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if b.foreign {
		return "another"
	}
	return "fake"
}

func (b *fakeBroker) Produce(s runnelv1.Broker_ProduceServer) error {
	var (
		wg   sync.WaitGroup
		send sync.Mutex
	)
	defer wg.Wait()
	if err := s.SetHeader(runnelv1.BrokerHeader(b.id, b.cluster())); err != nil {
		return err
	}
	var deaf bool
	b.c.locked(func() { deaf = b.deaf })
	if deaf {
		<-s.Context().Done()
		return s.Context().Err()
	}
	for {
		req, err := s.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		resp := &runnelv1.ProduceResponse{CorrelationId: req.GetCorrelationId()}
		hangs, delay := false, time.Duration(0)
		b.c.mu.Lock()
		b.c.requests = append(b.c.requests, len(req.GetPartitions()))
		for _, p := range req.GetPartitions() {
			b.c.pending[p.GetPartition()]++
			b.c.maxSeen = max(b.c.maxSeen, b.c.pending[p.GetPartition()])
			res, v := b.produceLocked(p)
			resp.Results = append(resp.Results, res)
			if v.breaks {
				b.c.pending[p.GetPartition()]--
				b.c.mu.Unlock()
				return status.Error(codes.Unavailable, "broken by the test")
			}
			hangs, delay = hangs || v.hangs, max(delay, v.delay)
		}
		b.c.mu.Unlock()
		answer := func() {
			b.c.mu.Lock()
			for _, p := range req.GetPartitions() {
				b.c.pending[p.GetPartition()]--
			}
			b.c.mu.Unlock()
			send.Lock()
			defer send.Unlock()
			_ = s.Send(resp) // the client may be gone
		}
		switch {
		case hangs:
		case delay > 0:
			wg.Go(func() {
				wait(s.Context(), delay)
				answer()
			})
		default:
			answer()
		}
	}
}

func (b *fakeBroker) produceLocked(p *runnelv1.ProducePartition) (*runnelv1.ProducePartitionResult, verdict) {
	h, err := record.Validate(p.GetBatch(), record.Limits{})
	if err != nil {
		b.c.t.Errorf("the client sent a bad batch: %v", err)
	}
	var v verdict
	if b.c.judge != nil {
		v = b.c.judge(b.id, p.GetTopic(), p.GetPartition(), h)
	}
	part, e := b.c.partLocked(b.id, p.GetTopic(), p.GetPartition())
	if v.err != nil && !v.appends {
		e = v.err
	}
	if e != nil {
		return &runnelv1.ProducePartitionResult{Error: e}, v
	}
	if (v.breaks || v.hangs) && !v.appends {
		return nil, v
	}
	res := part.append(p.GetBatch(), h)
	if v.err != nil {
		res = &runnelv1.ProducePartitionResult{Error: v.err}
	}
	b.c.notifyLocked()
	return res, v
}
