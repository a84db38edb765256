package multiraft

import (
	"sync"

	"go.etcd.io/raft/v3/raftpb"
)

// inbox is what waits for a group's worker. Messages are bounded and dropped beyond: raft repairs that. Control requests,
// answers of the append task and ticks are not dropped; there are few, since each belongs to a caller or a timer.
//
// Once it is closed nobody empties it any more: who wants an answer gets it on the spot, the rest is dropped.
type inbox struct {
	mu     sync.Mutex
	box    letters
	closed error // what reads are told then; nil while it is open
}

// letters is one load of the inbox. The worker swaps its empty one for the full one, so slices are reused.
type letters struct {
	messages     []*raftpb.Message
	messageBytes int
	appended     []*raftpb.Message // local responses of durable appends
	appendsDone  int               // append messages answered
	control      []func()
	ticks        int
	turn         bool
	reads        []func(uint64, error)
	trimTo       int64 // 0: no
}

func (b *letters) reset() {
	clear(b.messages)
	clear(b.appended)
	clear(b.control)
	clear(b.reads)
	*b = letters{messages: b.messages[:0], appended: b.appended[:0], control: b.control[:0], reads: b.reads[:0]}
}

// take swaps empty, which must be reset, for what came in.
func (in *inbox) take(empty *letters) {
	in.mu.Lock()
	in.box, *empty = *empty, in.box
	in.mu.Unlock()
}

// close gives what is left in the inbox. The worker must have stopped: from here on control requests run on their caller's
// goroutine, find no RawNode and say so.
func (in *inbox) close(refusal error) letters {
	in.mu.Lock()
	defer in.mu.Unlock()
	box := in.box
	in.box, in.closed = letters{}, refusal
	return box
}

func (in *inbox) message(m *raftpb.Message, l limits) bool {
	size := 64
	for _, e := range m.GetEntries() {
		size += len(e.GetData()) + 32
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed != nil || len(in.box.messages) >= l.inboxMessages || in.box.messageBytes+size > l.inboxBytes && in.box.messageBytes > 0 {
		return false
	}
	in.box.messages = append(in.box.messages, m)
	in.box.messageBytes += size
	return true
}

func (in *inbox) answered(local []*raftpb.Message, n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed != nil {
		return
	}
	in.box.appended = append(in.box.appended, local...)
	in.box.appendsDone += n
}

func (in *inbox) control(f func()) {
	in.mu.Lock()
	closed := in.closed != nil
	if !closed {
		in.box.control = append(in.box.control, f)
	}
	in.mu.Unlock()
	if closed {
		f()
	}
}

// tick is capped: a worker that was held up needs no burst of elections. It answers whether an earlier one still waits.
func (in *inbox) tick() (waiting bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	waiting = in.box.ticks > 0
	in.box.ticks = min(in.box.ticks+1, 2)
	return waiting
}

func (in *inbox) wantTurn() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.box.turn = true
}

func (in *inbox) read(done func(uint64, error)) {
	in.mu.Lock()
	closed := in.closed
	if closed == nil {
		in.box.reads = append(in.box.reads, done)
	}
	in.mu.Unlock()
	if closed != nil {
		done(0, closed)
	}
}

func (in *inbox) trim(logStart int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.box.trimTo = max(in.box.trimTo, logStart)
}

func (in *inbox) takeTrim() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	t := in.box.trimTo
	in.box.trimTo = 0
	return t
}
