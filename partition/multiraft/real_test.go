package multiraft

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// direct is a transport that calls the receiver on the sender's goroutine.
type direct struct {
	mu    sync.RWMutex
	hosts map[int32]*Host
}

type directFrom struct {
	d    *direct
	from int32
}

func (x directFrom) Send(to int32, _ Lane, p *Packet) bool {
	x.d.mu.RLock()
	h := x.d.hosts[to]
	x.d.mu.RUnlock()
	if h == nil {
		return false
	}
	h.Receive(x.from, p)
	return true
}

// sessionOnce tells when a group first had a leader in session.
type sessionOnce struct {
	once sync.Once
	c    chan struct{}
}

func (s *sessionOnce) begun() { s.once.Do(func() { close(s.c) }) }

// pump is a machine that keeps a number of equal batches in flight while it leads.
type pump struct {
	g        *Group
	batch    []byte // envelope and batch, stamped anew for each proposal
	data     [][]byte
	depth    int
	left     *atomic.Int64 // batches still to propose, over all groups
	acked    *sync.WaitGroup
	inflight int
	next     int64
	session  *sessionOnce // shared by the group's replicas
	term     uint64       // of the session
	count    int
}

func (p *pump) Restore(cp raftlog.Checkpoint) error { p.next = cp.Next; return nil }
func (p *pump) Apply(m record.Meta, _ []byte) {
	p.next = m.Next
	if m.Kind == record.KindBatch && m.Term == p.term && p.inflight > 0 {
		p.inflight--
		p.acked.Done()
	}
}
func (p *pump) Applied(uint64) {}
func (p *pump) Turn(s Session) [][]byte {
	p.data = p.data[:0]
	base := p.next + int64(p.inflight*p.count)
	for p.inflight+len(p.data) < p.depth && p.take() {
		d := append([]byte(nil), p.batch...)
		record.Stamp(d[record.EnvelopeLen:], base, int32(s.Term))
		base += int64(p.count)
		p.data = append(p.data, d)
	}
	return p.data
}

func (p *pump) take() bool {
	for {
		n := p.left.Load()
		if n <= 0 {
			return false
		}
		if p.left.CompareAndSwap(n, n-1) {
			return true
		}
	}
}
func (p *pump) Proposed(err error) {
	if err != nil {
		p.left.Add(int64(len(p.data)))
		return
	}
	p.inflight += len(p.data)
}
func (p *pump) SessionStarted(s Session) { p.term = s.Term; p.session.begun() }
func (p *pump) SessionEnded(*runnelv1.Error) {
	p.left.Add(int64(p.inflight)) // another leader proposes them again
	p.inflight, p.term = 0, 0
}
func (p *pump) Conf(*raftpb.ConfState)             {}
func (p *pump) Checkpoint() (int64, int64, []byte) { return p.next, 0, nil }
func (p *pump) Stopped()                           {}

// realCluster is three hosts on real pools in one process.
type realCluster struct {
	hosts []*Host
	pumps []*pump // of the preferred leaders
	all   []*pump
	left  atomic.Int64
	acked sync.WaitGroup
	stop  func()
}

func newRealCluster(tb testing.TB, groups, batchBytes, depth int) *realCluster {
	tb.Helper()
	c := &realCluster{}
	d := &direct{hosts: make(map[int32]*Host)}
	value := make([]byte, 200)
	var recs []record.Record
	for size := 0; size < batchBytes; size += 210 {
		recs = append(recs, record.Record{Value: value, TimestampMS: 1})
	}
	batch := make([]byte, record.EnvelopeLen)
	record.PutEnvelope(batch, record.KindBatch, 1)
	b, err := record.Encode(nil, recs, record.EncodeOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	if err != nil {
		tb.Fatal(err)
	}
	batch = append(batch, b...)
	var stops []func()
	dir := tb.TempDir()
	for id := int32(1); id <= 3; id++ {
		e, stop := env.NewReal(env.RealOptions{})
		store, err := raftlog.Open(raftlog.Options{Dir: filepath.Join(dir, fmt.Sprint(id)), Clock: e.Clock, Log: e.Log})
		if err != nil {
			tb.Fatal(err)
		}
		h := New(Config{Env: e, BrokerID: id, BootNonce: uint64(id), Store: store, Transport: directFrom{d, id}})
		c.hosts = append(c.hosts, h)
		stops = append(stops, func() {
			h.Stop()
			if err := store.Close(); err != nil {
				tb.Error(err)
			}
			stop()
		})
	}
	for i, h := range c.hosts {
		d.mu.Lock()
		d.hosts[int32(i+1)] = h
		d.mu.Unlock()
	}
	sessions := make([]*sessionOnce, groups)
	for g := range sessions {
		sessions[g] = &sessionOnce{c: make(chan struct{})}
	}
	for i, h := range c.hosts {
		h.SetBrokers([]int32{1, 2, 3})
		h.Start()
		for g := range groups {
			p := &pump{batch: batch, depth: depth, left: &c.left, acked: &c.acked, session: sessions[g], count: len(recs)}
			gid := uint64(g + 1)
			replica := func(i int) uint64 { return gid*10 + uint64(i) + 1 }
			if err := h.store.Create(gid, replica(i), &raftpb.ConfState{Voters: []uint64{replica(0), replica(1), replica(2)}}); err != nil {
				tb.Fatal(err)
			}
			grp, err := h.StartGroup(GroupConfig{Group: gid, Replica: replica(i), Machine: p, Found: g%3 == i,
				Members: map[uint64]int32{replica(0): 1, replica(1): 2, replica(2): 3}})
			if err != nil {
				tb.Fatal(err)
			}
			p.g = grp
			c.all = append(c.all, p)
			if g%3 == i {
				c.pumps = append(c.pumps, p)
			}
		}
	}
	c.stop = func() {
		for _, f := range stops {
			f()
		}
	}
	return c
}

// run has all leaders propose n batches in all and waits for their acks.
func (c *realCluster) run(n int) {
	c.acked.Add(n)
	c.left.Store(int64(n))
	for _, p := range c.all {
		p.g.Wake()
	}
	c.acked.Wait()
}

func TestRealPoolsCommitHandOverAndLeaveNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := newRealCluster(t, 4, 2000, 3)
	for _, p := range c.pumps {
		<-p.session.c
	}
	c.run(200)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.hosts[0].HandOver(ctx); err != nil {
		t.Log(err) // allowed: a follower may have been behind
	}
	for _, p := range c.pumps {
		done := make(chan error, 1)
		p.g.ReadIndex(func(_ uint64, err error) { done <- err })
		<-done
	}
	c.stop()
}

func BenchmarkTwelveGroupsThreeReplicas(b *testing.B) {
	for _, size := range []int{64 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			c := newRealCluster(b, 12, size, 4)
			for _, p := range c.pumps {
				<-p.session.c
			}
			b.SetBytes(int64(len(c.pumps[0].batch)))
			b.ReportAllocs()
			b.ResetTimer()
			c.run(b.N)
			b.StopTimer()
			b.ReportMetric(float64(b.N*c.pumps[0].count)/b.Elapsed().Seconds(), "records/s")
			c.stop()
		})
	}
}
