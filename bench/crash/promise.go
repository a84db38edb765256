package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// mark is one line of the recorded process: before an operation, what it may change, and after it (Done) that it holds.
type mark struct {
	Op         string `json:"op"`
	Done       bool   `json:"done,omitempty"`
	Undone     bool   `json:"undone,omitempty"`  // it was given up and never held
	Settled    bool   `json:"settled,omitempty"` // of an append that a kill ended: what the next life found, and goes by
	Group      uint64 `json:"g,omitempty"`
	Replica    uint64 `json:"r,omitempty"`
	Term       uint64 `json:"term,omitempty"`
	Vote       uint64 `json:"vote,omitempty"`
	Commit     uint64 `json:"commit,omitempty"`
	First      uint64 `json:"first,omitempty"` // index of the first of Entries
	Last       uint64 `json:"last,omitempty"`
	Entries    []sum  `json:"ents,omitempty"`
	Any        bool   `json:"any,omitempty"` // which entries come from First on is known only when it is done
	LogStart   int64  `json:"start,omitempty"`
	Checkpoint *point `json:"ckpt,omitempty"`
	Source     uint64 `json:"source,omitempty"` // replica that was shipped
	Floor      uint64 `json:"floor,omitempty"`
	Text       string `json:"text,omitempty"`
}

func (m *mark) id() replicaID { return replicaID{m.Group, m.Replica} }

// sum is what is remembered of an entry.
type sum struct {
	Term    uint64 `json:"t"`
	Data    uint64 `json:"d"` // hash of type and data
	Payload uint64 `json:"p"` // hash of the batch that consumers are served; 0 = none
	Base    int64  `json:"b"`
	Next    int64  `json:"n"`
}

// point is what is remembered of a checkpoint.
type point struct {
	Index, Term    uint64
	Next, LogStart int64
	State          uint64 // hash
}

type replicaID struct{ group, replica uint64 }

func (id replicaID) String() string {
	return fmt.Sprintf("replica %d of group %d", id.replica, id.group)
}

// folder is the name of its folder.
func (id replicaID) folder() string { return fmt.Sprintf("%016x-%016x", id.group, id.replica) }

func hash(parts ...[]byte) uint64 {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

func hashEntry(e *raftpb.Entry) uint64 { return hash([]byte{byte(e.GetType())}, e.Data) }

func pointOf(c *raftlog.Checkpoint) *point {
	return &point{Index: c.Index, Term: c.Term, Next: c.Next, LogStart: c.LogStart, State: hash(c.State)}
}

// expected is what must be found of one replica.
type expected struct {
	term, vote  uint64
	commit      uint64 // the most that it was told
	base        uint64 // index of the first of entries
	origin      int64  // offset before it
	entries     []sum
	logStart    int64 // the most that it was trimmed to
	quarantined bool
	points      map[uint64]point // checkpoints ever offered, by index
}

func (r *expected) last() uint64 { return r.base + uint64(len(r.entries)) - 1 }

// next is the offset after entry i.
func (r *expected) next(i uint64) int64 {
	if i < r.base {
		return r.origin
	}
	return r.entries[i-r.base].Next
}

func (r *expected) clone() *expected {
	c := *r
	c.points = maps.Clone(r.points)
	return &c
}

// ledger is all that was promised up to some moment, and what was under way then. It is never changed: take gives another.
type ledger struct {
	incarnation string // empty until the folder was open once
	broker      int32
	floor       uint64
	replicas    map[replicaID]*expected
	deleted     map[replicaID]bool
	flux        map[replicaID]*mark // under way; the store's own under the zero id
	raft        raftLedger
	marks       int
}

func newLedger() *ledger {
	return &ledger{replicas: map[replicaID]*expected{}, deleted: map[replicaID]bool{}, flux: map[replicaID]*mark{}}
}

// take gives the ledger after one more line.
func (l *ledger) take(m *mark) (*ledger, error) {
	n := *l
	n.marks++
	if m.Op == "sent" {
		n.raft = l.raft.sent(m)
		return &n, nil
	}
	n.replicas, n.flux = maps.Clone(l.replicas), maps.Clone(l.flux)
	id := m.id()
	if !m.Done && !m.Undone {
		if was := n.flux[id]; was != nil {
			return nil, fmt.Errorf("%s: %s begins while %s is under way", id, m.Op, was.Op)
		}
		n.flux[id] = m
		if r := n.replicas[id]; r != nil && (m.Checkpoint != nil || m.LogStart > r.logStart) {
			r = r.clone()
			if m.Checkpoint != nil {
				r.points[m.Checkpoint.Index] = *m.Checkpoint
			}
			r.logStart = max(r.logStart, m.LogStart)
			n.replicas[id] = r
		}
		return &n, nil
	}
	begun := n.flux[id]
	if begun == nil || begun.Op != m.Op {
		return nil, fmt.Errorf("%s: %s ends and was not under way", id, m.Op)
	}
	delete(n.flux, id)
	if m.Undone {
		return &n, nil
	}
	return &n, n.hold(id, begun, m)
}

// hold has an operation that is done count.
func (l *ledger) hold(id replicaID, begun, done *mark) error {
	r := l.replicas[id]
	switch begun.Op {
	case "open":
		l.incarnation = done.Text
	case "identity":
		l.broker = 1
	case "floor":
		l.floor = begun.Floor
	case "create":
		l.replicas[id] = &expected{term: 1, commit: 1, base: 2, points: map[uint64]point{1: *begun.Checkpoint}}
	case "append", "recover":
		entries := begun.Entries
		if begun.Any || done.Settled {
			entries, begun = done.Entries, done
		}
		r = r.clone()
		if begun.Term != 0 {
			r.term, r.vote = begun.Term, begun.Vote
		}
		if begun.First != 0 {
			if begun.First > r.last()+1 || begun.First < r.base {
				return fmt.Errorf("%s: entries from %d on after %d", id, begun.First, r.last())
			}
			r.entries = slices.Concat(r.entries[:begun.First-r.base], entries)
		}
		r.commit = max(r.commit, begun.Commit)
		l.replicas[id] = r
	case "quarantine":
		r = r.clone()
		r.quarantined = true
		l.replicas[id] = r
	case "delete":
		delete(l.replicas, id)
		l.deleted = maps.Clone(l.deleted)
		l.deleted[id] = true
	case "install":
		src := l.replicas[replicaID{id.group, begun.Source}]
		if src == nil {
			return fmt.Errorf("%s: its source %d is not known", id, begun.Source)
		}
		l.replicas[id] = installed(src, begun)
	case "checkpoint", "trim", "close", "reopen":
	default:
		return fmt.Errorf("the operation %q is not known", begun.Op)
	}
	return nil
}

// installed is what a replica that was shipped from src must be.
func installed(src *expected, m *mark) *expected {
	return &expected{
		term: m.Term, commit: m.Last, base: m.First, origin: src.next(m.First - 1), logStart: m.LogStart,
		entries: slices.Clone(src.entries[m.First-src.base : m.Last+1-src.base]),
		points:  map[uint64]point{m.Checkpoint.Index: *m.Checkpoint},
	}
}

// parseMark reads a line of the recorded process.
func parseMark(line []byte) (*mark, error) {
	m := &mark{}
	if err := json.Unmarshal(line, m); err != nil {
		return nil, fmt.Errorf("promise %.80q: %w", line, err)
	}
	return m, nil
}

// facts counts what was checked, by invariant.
type facts map[string]int

func (f facts) add(other facts) {
	for k, n := range other {
		f[k] += n
	}
}

// violations bound how many are kept: the first few tell what is wrong.
const mostViolations = 20

func violation(invariant, format string, args ...any) check.Violation {
	return check.Violation{Invariant: invariant, What: fmt.Sprintf(format, args...)}
}
