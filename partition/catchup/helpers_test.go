package catchup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	group   = 7
	replica = 3
	added   = 44
)

// handClock moves when the test says so, and fires timers while it does.
type handClock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*handTimer
}

type handTimer struct {
	c  *handClock
	at time.Time
	f  func()
	on bool
}

func newClock() *handClock { return &handClock{now: time.UnixMilli(1_700_000_000_000)} }

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) Wall() time.Time { return c.Now() }

func (c *handClock) AfterFunc(d time.Duration, f func()) env.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &handTimer{c: c, at: c.now.Add(d), f: f, on: true}
	c.timers = append(c.timers, t)
	return t
}

func (t *handTimer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	was := t.on
	t.on = false
	return was
}

func (t *handTimer) Reset(d time.Duration) bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	was := t.on
	t.on, t.at = true, t.c.now.Add(d)
	if !slices.Contains(t.c.timers, t) {
		t.c.timers = append(t.c.timers, t)
	}
	return was
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []*handTimer
	for _, t := range c.timers {
		if t.on && !t.at.After(c.now) {
			t.on = false
			due = append(due, t)
		}
	}
	c.mu.Unlock()
	for _, t := range due {
		t.f()
	}
}

// waits tells how many timers are set.
func (c *handClock) waits() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.timers {
		if t.on {
			n++
		}
	}
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type dice struct{ *rand.Rand }

func testEnv(c env.Clock) *env.Env {
	return &env.Env{Clock: c, Rand: dice{rand.New(rand.NewPCG(1, 2))}}
}

// source is a replica's log that grows as it is told.
type source struct {
	t     testing.TB
	store *raftlog.Store
	log   *raftlog.Log
	ents  []*raftpb.Entry
	next  int64
	start int64
	dir   string
	ships int
	grow  int // entries to add at each Ship
	fail  error
}

func newStore(t testing.TB, c env.Clock) *raftlog.Store {
	t.Helper()
	return newStoreIn(t, c, t.TempDir())
}

func newStoreIn(t testing.TB, c env.Clock, dir string) *raftlog.Store {
	t.Helper()
	s, err := raftlog.Open(raftlog.Options{Dir: dir, Clock: c, Hooks: raftlog.Hooks{NoSync: true}})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() }) // a test that cares closes it itself
	return s
}

func newSource(t testing.TB, c env.Clock, id uint64, entries int) *source {
	t.Helper()
	return newSourceOf(t, c, id, entries, 64<<10)
}

func newSourceOf(t testing.TB, c env.Clock, id uint64, entries int, segmentBytes int64) *source {
	t.Helper()
	s := &source{t: t, dir: t.TempDir()}
	s.store = newStoreIn(t, c, s.dir)
	must(t, s.store.Create(group, id, &raftpb.ConfState{Voters: []uint64{1, 2, 3}}))
	var err error
	s.log, err = s.store.OpenLog(group, id, raftlog.LogOptions{SegmentBytes: segmentBytes})
	must(t, err)
	s.write(entries)
	return s
}

// write appends and applies entries of 8 KiB.
func (s *source) write(n int) {
	s.t.Helper()
	for range n {
		value := make([]byte, 8<<10)
		for i := range value {
			value[i] = byte(rand.Uint64())
		}
		data := make([]byte, record.EnvelopeLen)
		record.PutEnvelope(data, record.KindBatch, 1)
		data, err := record.Encode(data, []record.Record{{Value: value}}, record.EncodeOptions{ProducerID: -1})
		must(s.t, err)
		record.Stamp(data[record.EnvelopeLen:], s.next, 1)
		index := uint64(len(s.ents)) + 2
		e := &raftpb.Entry{Term: new(uint64(1)), Index: new(index), Type: raftpb.EntryNormal.Enum(), Data: data}
		s.ents = append(s.ents, e)
		s.next++
		must(s.t, s.log.Append([]raftlog.Write{{Commit: index, Entries: []*raftpb.Entry{e}}}))
		s.log.SetApplied(index)
	}
}

func (s *source) Ship(ctx context.Context) (*raftlog.Shipment, error) {
	if s.fail != nil {
		return nil, s.fail
	}
	s.ships++
	s.write(s.grow)
	return s.log.Ship(ctx, s.checkpoint())
}

func (s *source) checkpoint() raftlog.Checkpoint {
	return raftlog.Checkpoint{
		Index: uint64(len(s.ents)) + 1, Term: 1, Conf: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}, Next: s.next, LogStart: s.start,
		State: make([]byte, 3<<20), // a large table of producers: more than one piece
	}
}

// trim moves the start of the log to that of a segment, counted from 0.
func (s *source) trim(segment int) {
	s.t.Helper()
	s.start = s.log.Segments()[segment].Base
	s.log.OfferCheckpoint(s.checkpoint())
	must(s.t, s.log.Maintain())
	s.log.Trim(s.start)
	must(s.t, s.log.Maintain())
}

// damage changes a byte of an entry in the file of a segment, counted from 0.
func (s *source) damage(segment int, entry []byte) {
	t, l := s.t, s.log
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.dir, "replicas", "*", fmt.Sprintf("*%x.seg", l.Segments()[segment].FirstIndex)))
	must(t, err)
	if len(paths) != 1 {
		t.Fatalf("%d files of the segment", len(paths))
	}
	raw, err := os.ReadFile(paths[0])
	must(t, err)
	at := bytes.Index(raw, entry)
	if at < 0 {
		t.Fatal("the entry is not in the file")
	}
	f, err := os.OpenFile(paths[0], os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{raw[at] ^ 1}, int64(at))
	must(t, errors.Join(err, f.Close()))
}

func (s *source) server(c env.Clock, edit func(*ServerConfig)) *Server {
	cfg := ServerConfig{Env: testEnv(c), Source: func(g uint64) Source {
		if g != group {
			return nil
		}
		return s
	}}
	if edit != nil {
		edit(&cfg)
	}
	return NewServer(cfg)
}

// direct is a network of servers in one process. tap may change an answer, or fail the call.
type direct struct {
	servers map[int32]*Server
	calls   map[string]int
	tap     func(method string, out []byte) ([]byte, error)
}

func (d *direct) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	if d.calls == nil {
		d.calls = map[string]int{}
	}
	d.calls[method]++
	if !Handles(method) {
		return nil, fmt.Errorf("%s is for nobody", method)
	}
	s := d.servers[broker]
	if s == nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "broker %d cannot be reached", broker)
	}
	out, err := s.Serve(ctx, 9, method, body)
	if err != nil {
		return nil, runnelv1.AsError(err)
	}
	out = slices.Clone(out)
	if d.tap != nil {
		return d.tap(method, out)
	}
	return out, nil
}

func newInstaller(t testing.TB, s *raftlog.Store) *raftlog.Installer {
	t.Helper()
	in, err := s.Install(group, added)
	must(t, err)
	return in
}

// sameAs checks the installed replica against its source.
func (s *source) sameAs(t testing.TB, to *raftlog.Store, index uint64) {
	t.Helper()
	l, err := to.OpenLog(group, added, raftlog.LogOptions{})
	must(t, err)
	last, err := l.LastIndex()
	must(t, err)
	if last != index || index != uint64(len(s.ents))+1 {
		t.Fatalf("installed up to entry %d, said %d, the source has %d", last, index, len(s.ents)+1)
	}
	if l.StartOffset() > s.start || l.StartOffset() == 0 && s.start > 0 {
		t.Fatalf("the installed log starts at %d, its source at %d", l.StartOffset(), s.start)
	}
	want, _, err := s.log.ReadBatches(s.start, s.next, 1<<30, nil)
	must(t, err)
	got, _, err := l.ReadBatches(s.start, s.next, 1<<30, nil)
	must(t, err)
	if !slices.Equal(got, want) {
		t.Fatal("the installed replica holds something else")
	}
}

var errCut = errors.New("the connection is cut")

// during runs a transfer and advances the clock by so much whenever it waits for the rate.
func (c *handClock) during(t *testing.T, step time.Duration, transfer func() error) {
	t.Helper()
	over := make(chan error, 1)
	go func() { over <- transfer() }()
	for {
		select {
		case err := <-over:
			must(t, err)
			return
		default:
			if c.waits() > 2 { // one timer is the shipment's, one bounds the call
				c.advance(step)
			}
			runtime.Gosched()
		}
	}
}
