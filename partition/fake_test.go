package partition

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/env/sim"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// bench is a partition with a hand-driven group: the test is the worker.
type bench struct {
	t testing.TB
	w *sim.World
	p *Partition

	session multiraft.Session
	lacks   time.Duration // what the clock lacks, by its peers
	status  multiraft.Status
	healthy error
	wakes   int

	mu       sync.Mutex // guards reads
	reads    []func(uint64, error)
	autoRead bool // answer a ReadIndex at once

	log     []logEntry // the raft log; index i is at i-2, since index 1 is the checkpoint
	applied int        // how many of them are applied
	next    int64      // folded by the "replica"
	trims   []int64
	segs    []raftlog.SegmentInfo
	drop    bool // raft takes no proposal
	full    bool // a write waits for space
}

type logEntry struct {
	term uint64
	data []byte
}

func newBench(t testing.TB, change ...func(*Config)) *bench {
	b := &bench{t: t, w: sim.New(1)}
	b.p = b.partition(change...)
	b.start(b.p, raftlog.Checkpoint{Index: 1, Term: 1})
	return b
}

func (b *bench) partition(change ...func(*Config)) *Partition {
	c := Config{Env: b.w.Env(), Topic: "orders", Number: 3, Group: 7, Replica: 11, Settings: DefaultSettings()}
	for _, f := range change {
		f(&c)
	}
	return New(c)
}

func (b *bench) start(p *Partition, cp raftlog.Checkpoint) {
	b.t.Helper()
	if err := p.Restore(cp); err != nil {
		b.t.Fatal(err)
	}
	p.Applied(1)
	p.attach(b, b)
}

// raftGroup.

func (b *bench) Wake() { b.wakes++ }
func (b *bench) ReadIndex(f func(uint64, error)) {
	if b.autoRead {
		f(uint64(b.applied+1), nil)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads = append(b.reads, f)
}
func (b *bench) Status() multiraft.Status { return b.status }
func (b *bench) Healthy() error           { return b.healthy }
func (b *bench) OutOfSpace() bool         { return b.full }
func (b *bench) Trim(logStart int64)      { b.trims = append(b.trims, logStart) }

// storedLog.

func (b *bench) Segments() []raftlog.SegmentInfo { return b.segs }

func (b *bench) ReadBatches(offset, limit int64, maxBytes int, dst []byte) ([]byte, int64, error) {
	if offset >= limit {
		return dst, offset, nil
	}
	next, from := int64(0), len(dst)
	for i, e := range b.log {
		m := record.Fold(uint64(i+2), e.term, false, e.data, next)
		next = m.Next
		if m.Kind != record.KindBatch || m.Void || m.Next <= offset || m.Base >= limit {
			continue
		}
		payload := e.data[record.EnvelopeLen:]
		if len(dst) > from && len(dst)-from+len(payload) > maxBytes {
			break
		}
		dst, offset = append(dst, payload...), m.Next
	}
	return dst, offset, nil
}

func (b *bench) BatchAtTime(ts int64, limit int64) (int64, bool, error) {
	next := int64(0)
	for i, e := range b.log {
		m := record.Fold(uint64(i+2), e.term, false, e.data, next)
		next = m.Next
		if m.Count > 0 && m.MaxTimestamp >= ts && m.Base < limit {
			return m.Base, true, nil
		}
	}
	return 0, false, nil
}

// lead starts a session, as an entry of the new term is applied.
func (b *bench) lead(term uint64) {
	b.t.Helper()
	b.append(term, nil)
	b.commit()
	b.session = multiraft.Session{Term: term, ClockOK: true}
	b.status = multiraft.Status{Role: multiraft.RoleLeader, Term: term, Lead: 11, LeadBroker: 1, Session: true}
	b.p.SessionStarted(b.session)
}

func (b *bench) lose(reason *runnelv1.Error) {
	b.status = multiraft.Status{Role: multiraft.RoleFollower, Term: b.session.Term + 1, Lead: 12, LeadBroker: 2}
	b.p.SessionEnded(reason)
}

func (b *bench) append(term uint64, data []byte) {
	b.log = append(b.log, logEntry{term: term, data: bytes.Clone(data)})
}

// turn gives the partition a turn at the present time and what its peers say is wrong with it.
func (b *bench) turn() [][]byte {
	b.session.NowMS = b.w.Env().Now().Add(b.lacks).UnixMilli()
	return b.p.Turn(b.session)
}

// propose gives the partition a turn and tells how many entries it proposed.
func (b *bench) propose() int {
	data := b.turn()
	if len(data) == 0 {
		return 0
	}
	if b.drop {
		b.p.Proposed(raft.ErrProposalDropped)
		return len(data)
	}
	for _, d := range data {
		b.append(b.session.Term, d)
	}
	b.p.Proposed(nil)
	return len(data)
}

// commit applies the whole log.
func (b *bench) commit() { b.commitTo(len(b.log)) }

// commitTo applies the first n entries of the log.
func (b *bench) commitTo(n int) {
	for ; b.applied < n; b.applied++ {
		e := b.log[b.applied]
		m := record.Fold(uint64(b.applied+2), e.term, false, e.data, b.next)
		b.next = m.Next
		var payload []byte
		if len(e.data) > 0 {
			payload = e.data[record.EnvelopeLen:]
		}
		b.p.Apply(m, payload)
	}
	b.p.Applied(uint64(b.applied + 1))
}

func (b *bench) snapReads() []func(uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reads
}

func (b *bench) answerReads(err error) {
	b.mu.Lock()
	reads := b.reads
	b.reads = nil
	b.mu.Unlock()
	for _, f := range reads {
		f(uint64(b.applied+1), err)
	}
}

// answer catches a ProduceResult and fails the test at a second one.
type answer struct {
	t    testing.TB
	mu   sync.Mutex
	res  ProduceResult
	done bool
}

func (a *answer) set(r ProduceResult) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done {
		a.t.Error("a batch was answered twice")
	}
	a.res, a.done = r, true
}

func (a *answer) got() (ProduceResult, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.res, a.done
}

func (a *answer) pending() {
	a.t.Helper()
	if r, done := a.got(); done {
		a.t.Fatalf("answered already: %+v", r)
	}
}

func (a *answer) acked(base int64, duplicate bool) {
	a.t.Helper()
	r, done := a.got()
	if !done || r.Err != nil || r.Base != base || r.Duplicate != duplicate {
		a.t.Fatalf("answered %v: base %d, duplicate %v, %v; want base %d, duplicate %v", done, r.Base, r.Duplicate, r.Err, base, duplicate)
	}
}

func (a *answer) refused(reason runnelv1.ErrorReason, kind runnelv1.ErrorKind) *runnelv1.Error {
	a.t.Helper()
	r, done := a.got()
	if !done || r.Err.GetReason() != reason || r.Err.GetKind() != kind {
		a.t.Fatalf("answered %v: %v %v (%v), want %v %v", done, r.Err.GetKind(), r.Err.GetReason(), r.Err, kind, reason)
	}
	return r.Err
}

const (
	definite      = runnelv1.ErrorKind_ERROR_KIND_DEFINITE
	retriableKind = runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
	indeterminate = runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE
)

// batchOf makes a batch of n records of a producer (-1: none).
func batchOf(t testing.TB, clock env.Clock, pid int64, epoch int16, seq int32, n int) ([]byte, record.Header) {
	t.Helper()
	recs := make([]record.Record, n)
	for i := range recs {
		recs[i] = record.Record{Value: fmt.Appendf(nil, "%d:%d", pid, seq+int32(i)), TimestampMS: clock.Now().UnixMilli()}
	}
	buf, err := record.Encode(nil, recs, record.EncodeOptions{ProducerID: pid, ProducerEpoch: epoch, BaseSequence: seq})
	if err != nil {
		t.Fatal(err)
	}
	h, err := record.Validate(buf, record.Limits{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return buf, h
}

func (b *bench) produce(pid int64, epoch int16, seq int32, n int) *answer {
	b.t.Helper()
	buf, h := batchOf(b.t, b.w.Env(), pid, epoch, seq, n)
	a := &answer{t: b.t}
	b.p.Produce(buf, h, a.set)
	return a
}

// write produces one batch and has it committed.
func (b *bench) write(pid int64, seq int32, n int) *answer {
	b.t.Helper()
	a := b.produce(pid, 0, seq, n)
	b.propose()
	b.commit()
	return a
}

func (b *bench) advance(d time.Duration) { b.w.Run(b.w.Now() + d) }
