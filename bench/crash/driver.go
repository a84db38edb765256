package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
)

const (
	segmentBytes = 12 << 10
	startMS      = 1_700_000_000_000
)

// stillClock does not go: what is stored depends on nothing but the seed.
type stillClock struct{}

func (stillClock) Now() time.Time { return time.UnixMilli(startMS) }

func (c stillClock) Wall() time.Time { return c.Now() }
func (stillClock) AfterFunc(_ time.Duration, f func()) env.Timer {
	return time.AfterFunc(0, f)
}

func options(dir string) raftlog.Options {
	return raftlog.Options{Dir: dir, Clock: stillClock{}, SegmentBytes: segmentBytes, TailBytes: 1 << 20}
}

// driver works on one replica's log, as its broker does, and writes down what that promises.
type driver struct {
	rnd   *rand.Rand
	book  *book
	store *raftlog.Store
	id    replicaID
	log   *raftlog.Log
	size  int64 // of a segment; 0 = segmentBytes
}

func (d *driver) mark(op string) *mark {
	return &mark{Op: op, Group: d.id.group, Replica: d.id.replica}
}

func (d *driver) now() *expected { return d.book.replica(d.id) }

func conf(id replicaID) *raftpb.ConfState {
	return &raftpb.ConfState{Voters: []uint64{id.replica, 901, 902}}
}

func (d *driver) create() error {
	m := d.mark("create")
	m.Checkpoint = &point{Index: 1, Term: 1, State: hash(nil)}
	return d.book.do(m, func(*mark) error { return d.store.Create(d.id.group, d.id.replica, conf(d.id)) })
}

func (d *driver) open() (err error) {
	d.log, err = d.store.OpenLog(d.id.group, d.id.replica, raftlog.LogOptions{SegmentBytes: d.size})
	return err
}

// reopen closes the log, as a stop of the replica does, and opens it again.
func (d *driver) reopen() error {
	return d.book.do(d.mark("reopen"), func(*mark) error {
		if err := d.log.Close(); err != nil {
			return err
		}
		return d.open()
	})
}

// entry makes an entry of a random kind and its sum.
func (d *driver) entry(index, term uint64, base int64, size int) (*raftpb.Entry, sum, error) {
	e := &raftpb.Entry{Term: proto.Uint64(term), Index: proto.Uint64(index), Type: raftpb.EntryNormal.Enum()}
	s := sum{Term: term, Base: base, Next: base}
	kind := d.rnd.IntN(20)
	switch {
	case kind == 0: // as a new leader's first
	case kind == 1:
		cc := &raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddLearnerNode.Enum(), NodeId: proto.Uint64(950)}}}
		data, err := proto.Marshal(cc)
		if err != nil {
			return nil, s, err
		}
		e.Type, e.Data = raftpb.EntryConfChangeV2.Enum(), data
	case kind < 4:
		e.Data = make([]byte, record.EnvelopeLen, record.EnvelopeLen+size)
		record.PutEnvelope(e.Data, record.KindCommand, startMS)
		e.Data = append(e.Data, d.bytes(size)...)
	default:
		recs := make([]record.Record, 1+d.rnd.IntN(3))
		for i := range recs {
			recs[i] = record.Record{Value: d.bytes(max(1, size/len(recs))), TimestampMS: startMS + base}
		}
		data := make([]byte, record.EnvelopeLen)
		record.PutEnvelope(data, record.KindBatch, startMS)
		data, err := record.Encode(data, recs, record.EncodeOptions{ProducerID: -1})
		if err != nil {
			return nil, s, err
		}
		record.Stamp(data[record.EnvelopeLen:], base, int32(term))
		e.Data = data
		s.Next = base + int64(len(recs))
		s.Payload = hash(data[record.EnvelopeLen:])
	}
	s.Data = hashEntry(e)
	return e, s, nil
}

func (d *driver) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.rnd.Uint64())
	}
	return b
}

var sizes = []int{1, 60, 300, 1200, 3000, 4200, 6000}

// write appends n entries from index first on, over what is there; term 0 leaves term and vote as they are, n 0 the entries.
func (d *driver) write(first uint64, n int, term, vote, commit uint64) error {
	r := d.now()
	m := d.mark("append")
	m.Term, m.Vote, m.Commit = term, vote, commit
	w := raftlog.Write{Term: term, Vote: vote, Commit: commit}
	if n > 0 {
		m.First = first
		next := r.next(first - 1)
		for i := range n {
			size := sizes[d.rnd.IntN(len(sizes))]
			if n > 20 {
				size = 1
			}
			e, s, err := d.entry(first+uint64(i), max(term, r.term), next, size)
			if err != nil {
				return err
			}
			w.Entries, m.Entries = append(w.Entries, e), append(m.Entries, s)
			next = s.Next
		}
	}
	return d.book.do(m, func(*mark) error { return d.log.Append([]raftlog.Write{w}) })
}

// checkpoint offers a checkpoint at all that is committed.
func (d *driver) checkpoint() error {
	r := d.now()
	index := min(r.commit, r.last())
	if _, done := r.points[index]; done || index < r.base {
		return nil
	}
	cp := raftlog.Checkpoint{
		Index: index, Term: r.entries[index-r.base].Term, Next: r.next(index), LogStart: r.logStart,
		Conf: conf(d.id), State: d.bytes(d.rnd.IntN(2500)),
	}
	m := d.mark("checkpoint")
	m.Checkpoint = pointOf(&cp)
	alone := d.rnd.IntN(2) == 0 // else it goes with what is written next
	return d.book.do(m, func(*mark) error {
		d.log.SetApplied(index)
		d.log.OfferCheckpoint(cp)
		if !alone {
			return nil
		}
		return d.log.Maintain()
	})
}

// trim has retention move the log start to near the end of what is committed.
func (d *driver) trim() error {
	r := d.now()
	m := d.mark("trim")
	m.LogStart = max(r.logStart, r.next(min(r.commit, r.last()))-int64(d.rnd.IntN(12)))
	return d.book.do(m, func(*mark) error {
		if !d.log.Trim(m.LogStart) {
			return nil
		}
		return d.log.Maintain()
	})
}

// step does one operation at random.
func (d *driver) step() error {
	r := d.now()
	last, committed := r.last(), min(r.commit, r.last())
	more := 1 + d.rnd.IntN(5)
	commit := func() uint64 {
		switch d.rnd.IntN(3) {
		case 0: // as a single voter, or a follower that lags
			return last + uint64(more)
		case 1:
			return committed
		}
		return 0
	}
	switch k := d.rnd.IntN(20); {
	case k < 2:
		return d.write(0, 0, r.term+1+uint64(d.rnd.IntN(3)), 1+uint64(d.rnd.IntN(3)), 0)
	case k < 5 && last > committed: // a new leader has other entries
		first := committed + 1 + d.rnd.Uint64N(last-committed)
		return d.write(first, more, r.term+1, 1+uint64(d.rnd.IntN(3)), 0)
	case k < 12:
		return d.write(last+1, more, 0, 0, commit())
	case k < 13: // over the end of a segment, and of the next
		more = 12
		return d.write(last+1, more, 0, 0, commit())
	case k < 15 && last > committed:
		return d.write(0, 0, 0, 0, committed+1+d.rnd.Uint64N(last-committed))
	case k < 17:
		return d.checkpoint()
	case k < 19:
		return d.trim()
	}
	return d.reopen()
}

func (d *driver) close() error {
	if d.log == nil {
		return nil
	}
	l := d.log
	d.log = nil
	if err := l.Close(); err != nil {
		return fmt.Errorf("close the log of %s: %w", d.id, err)
	}
	return nil
}

// settle takes over what a kill left of an append: whatever is found, the replica tells others that it has it.
func (d *driver) settle() error {
	m := d.book.now().flux[d.id]
	if m == nil {
		return nil
	}
	hs, _, err := d.log.InitialState()
	if err != nil {
		return err
	}
	done := &mark{
		Op: m.Op, Done: true, Settled: true, Group: d.id.group, Replica: d.id.replica,
		Term: hs.GetTerm(), Vote: hs.GetVote(), First: m.First, Commit: m.Commit,
	}
	last, err := d.log.LastIndex()
	if err != nil {
		return err
	}
	r := d.now()
	for i := m.First; m.First > 0 && i <= last; i++ {
		ents, err := d.log.Entries(i, i+1, 1<<30)
		if err != nil {
			return fmt.Errorf("entry %d of %s after a kill: %w", i, d.id, err)
		}
		s, ok := sum{}, false
		for _, c := range []struct {
			first   uint64
			entries []sum
		}{{r.base, r.entries}, {m.First, m.Entries}} {
			if at := i - c.first; at < uint64(len(c.entries)) && c.entries[at].Data == hashEntry(ents[0]) && c.entries[at].Term == ents[0].GetTerm() {
				s, ok = c.entries[at], true
			}
		}
		if !ok {
			return fmt.Errorf("entry %d of %s after a kill was never written", i, d.id)
		}
		done.Entries = append(done.Entries, s)
	}
	return d.book.put(done)
}
