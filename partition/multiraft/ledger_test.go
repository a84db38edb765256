package multiraft

import (
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// entry is what a ledger applied.
type entry struct {
	index, term uint64
	base        int64
	value       string
}

// ledger is a machine for tests: it proposes strings as batches of one record and keeps what was applied.
type ledger struct {
	g      *Group
	name   string // of the replica, for traces
	queue  []string
	limit  int // proposals a turn; 0: no limit
	next   int64
	void   int
	log    []entry
	index  uint64
	stamp  int64 // next offset to stamp
	start  int64 // log start, as if a command had moved it
	asked  [][]byte
	state  []byte // of checkpoints; Restore has no use for it
	values []string

	session  *Session
	inflight map[int64]string // base -> value, of this session
	ended    []*runnelv1.Error
	bare     int // ends of leaderships that had no session
	dropped  int
	conf     *raftpb.ConfState
	stopped  bool
	started  int
	applyFn  func(m record.Meta)

	onAck     func(value string, base int64, term uint64)
	onSession func(term uint64)
	nowMS     func() int64
}

func (l *ledger) Restore(cp raftlog.Checkpoint) error {
	l.next, l.index, l.conf = cp.Next, cp.Index, cp.Conf
	return nil
}

func (l *ledger) Apply(m record.Meta, payload []byte) {
	if m.Index <= l.index {
		panic(fmt.Sprintf("%s: entry %d after %d", l.name, m.Index, l.index))
	}
	l.index = m.Index
	if m.Void {
		l.void++
	}
	if m.Base != l.next && m.Kind == record.KindBatch && !m.Void {
		panic(fmt.Sprintf("%s: entry %d has base %d, want %d", l.name, m.Index, m.Base, l.next))
	}
	l.next = m.Next
	e := entry{index: m.Index, term: m.Term, base: m.Base}
	if m.Kind == record.KindBatch && !m.Void {
		e.value = "?" // folded without its payload
		if payload != nil {
			if err := record.Each(payload, 1<<20, func(_ int64, r record.Record) error {
				e.value = string(r.Value)
				return nil
			}); err != nil {
				panic(err)
			}
		}
		if v, ok := l.inflight[m.Base]; ok && l.session != nil && l.session.Term == m.Term {
			delete(l.inflight, m.Base)
			if v != e.value {
				panic(fmt.Sprintf("%s: acked %q, applied %q", l.name, v, e.value))
			}
			if l.onAck != nil {
				l.onAck(v, m.Base, m.Term)
			}
		}
	}
	l.log = append(l.log, e)
	if l.applyFn != nil {
		l.applyFn(m)
	}
}

func (l *ledger) Applied(uint64) {}

func (l *ledger) Turn(s Session) [][]byte {
	if l.session == nil || l.session.Term != s.Term {
		panic("a turn outside of the session")
	}
	n := len(l.queue)
	if l.limit > 0 {
		n = min(n, l.limit)
	}
	base := l.stamp
	l.asked, l.values = l.asked[:0], l.queue[:n]
	for _, v := range l.values {
		data := make([]byte, record.EnvelopeLen)
		record.PutEnvelope(data, record.KindBatch, l.now())
		b, err := record.Encode(nil, []record.Record{{Value: []byte(v), TimestampMS: l.now()}}, record.EncodeOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		if err != nil {
			panic(err)
		}
		record.Stamp(b, base, int32(s.Term))
		base++
		l.asked = append(l.asked, append(data, b...))
	}
	return l.asked
}

func (l *ledger) now() int64 {
	if l.nowMS != nil {
		return l.nowMS()
	}
	return 1
}

func (l *ledger) Proposed(err error) {
	if err != nil {
		l.dropped++
		return
	}
	for _, v := range l.values {
		l.inflight[l.stamp] = v
		l.stamp++
	}
	l.queue = append([]string(nil), l.queue[len(l.values):]...)
	if len(l.queue) > 0 {
		l.g.Wake()
	}
}

func (l *ledger) SessionStarted(s Session) {
	if l.session != nil {
		panic("a session in a session")
	}
	l.session, l.stamp, l.inflight = &s, l.next, make(map[int64]string)
	l.started++
	if l.onSession != nil {
		l.onSession(s.Term)
	}
}

func (l *ledger) SessionEnded(reason *runnelv1.Error) {
	if l.session == nil {
		l.bare++
		return
	}
	l.session, l.inflight = nil, nil
	l.ended = append(l.ended, reason)
}

func (l *ledger) Conf(cs *raftpb.ConfState) { l.conf = cs }

func (l *ledger) Checkpoint() (next, logStart int64, state []byte) { return l.next, l.start, l.state }

func (l *ledger) Stopped() {
	if l.stopped {
		panic("stopped twice")
	}
	l.stopped = true
}

// stored gives what the replica's log holds, by offset.
func (l *ledger) stored(t *testing.T) map[int64]string {
	t.Helper()
	values := make(map[int64]string)
	for offset := int64(0); offset < l.next; {
		out, next, err := l.g.Log().ReadBatches(offset, l.next, 1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		if next <= offset {
			t.Fatalf("%s: a read from offset %d of %d gets nowhere", l.name, offset, l.next)
		}
		for b, err := range record.Batches(out) {
			if err != nil {
				t.Fatal(err)
			}
			if err := record.Each(b, 1<<20, func(o int64, r record.Record) error {
				values[o] = string(r.Value)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		offset = next
	}
	return values
}

// propose queues a value.
func (l *ledger) propose(v string) {
	l.queue = append(l.queue, v)
	l.g.Wake()
}
