package multiraft

import (
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// appender is a group's FIFO of writes and the task that makes them durable, all that are queued at once: that is the
// group commit.
type appender struct {
	g    *Group
	task env.Task
	// oldest is when the oldest write that is not durable was queued, running when the append under way began, both in
	// nanoseconds of the Unix epoch; 0 if there is none.
	oldest, running atomic.Int64
	// short is the index of the first entry that waits for space on the disk, 0 if none does. A hang it is not: see age.
	short atomic.Uint64

	mu    sync.Mutex
	queue []write
	// upkeep asks for Log.Maintain, broken for the record of a quarantine.
	upkeep bool
	broken string

	// Owned by the task.
	taken  []write
	again  time.Time // when what was taken, and found no space, is tried again
	ws     []raftlog.Write
	local  []*raftpb.Message
	remote batch
}

// write is one MsgStorageAppend.
type write struct {
	raftlog.Write
	empty     bool // nothing new: only its place in the queue matters
	absorbed  int  // how many later ones it stands for as well
	responses []*raftpb.Message
	at        time.Time
	// instance is the RawNode that asked. Answers go to no other (RULES 14).
	instance *Group
}

// write queues an append message, or answers it at once if it has nothing new and nothing is queued before it.
func (g *Group) write(m *raftpb.Message) {
	if m.GetSnapshot() != nil {
		panic("raft asks to install a snapshot, which is never stepped into it")
	}
	w := write{responses: m.GetResponses(), instance: g}
	w.Entries = m.GetEntries()
	if t := m.GetTerm(); t != 0 && (t != g.queuedTerm || m.GetVote() != g.queuedVote) {
		g.queuedTerm, g.queuedVote = t, m.GetVote()
		w.Term, w.Vote = t, m.GetVote()
	}
	if mutant.On(mutant.EntriesAfterMessage) {
		g.answer(slices.DeleteFunc(slices.Clone(w.responses), func(r *raftpb.Message) bool { return r.GetTo() == g.replica }))
	}
	w.empty = w.Term == 0 && len(w.Entries) == 0
	if w.empty {
		g.metrics.appendsSkipped.Inc()
		if g.appendsQueued == 0 {
			g.answer(w.responses)
			return
		}
	} else {
		w.Commit = g.commit
	}
	w.at = g.env.Now()
	g.appendsQueued++
	g.appends.push(w)
}

// answer delivers responses on the worker itself.
func (g *Group) answer(rs []*raftpb.Message) {
	for _, r := range rs {
		if r.GetTo() == g.replica {
			g.step(r)
		} else {
			g.route(r, &g.sends)
		}
	}
	g.flush()
}

func (a *appender) push(w write) {
	a.mu.Lock()
	if n := len(a.queue); n > 0 && w.empty && a.queue[n-1].empty && a.short.Load() != 0 {
		a.queue[n-1].absorb(&w)
		a.mu.Unlock()
		return
	}
	a.queue = append(a.queue, w)
	if a.oldest.Load() == 0 {
		a.oldest.Store(w.at.UnixNano())
	}
	a.mu.Unlock()
	a.task.Wake()
}

// absorb takes in a later write that has nothing new either: while there is no space each heartbeat brings one. Of the answers to the same replica the
// later says it all.
func (w *write) absorb(later *write) {
	w.absorbed++
	w.responses = slices.Clone(w.responses) // raft's
	for _, r := range later.responses {
		w.responses = slices.DeleteFunc(w.responses, func(o *raftpb.Message) bool {
			return o.GetTo() == r.GetTo() && o.GetType() == r.GetType() && o.GetReject() == r.GetReject()
		})
		w.responses = append(w.responses, r)
	}
}

// age is how long the disk has kept this replica waiting: the time of the append under way, or that of the oldest write in the
// queue once it is queueFactor times as long as a hang. A queue alone is no hang: with a thousand replicas on one disk it is
// the load, and to move the leaders then only adds to it. But when the disk hangs, most replicas only queue.
func (a *appender) age(now time.Time) time.Duration {
	if a.short.Load() != 0 {
		return 0
	}
	if at := a.running.Load(); at != 0 {
		return time.Duration(now.UnixNano() - at)
	}
	if at := a.oldest.Load(); at != 0 {
		return time.Duration(now.UnixNano()-at) / queueFactor
	}
	return 0
}

// maintain asks for upkeep of the log's files.
func (a *appender) maintain() {
	a.mu.Lock()
	a.upkeep = true
	a.mu.Unlock()
	a.task.Wake()
}

// quarantine asks for the durable record that the replica may never run again.
func (a *appender) quarantine(reason string) {
	a.mu.Lock()
	a.broken = reason
	a.mu.Unlock()
	a.task.Wake()
}

// run is the append task: it blocks on the disk.
func (a *appender) run() {
	g := a.g
	defer func() {
		if p := recover(); p != nil {
			g.panicked(p)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))

	waits := a.short.Load() != 0
	a.mu.Lock()
	if !waits {
		a.taken, a.queue = a.queue, a.taken[:0]
	}
	upkeep, broken := a.upkeep, a.broken
	a.upkeep, a.broken = false, ""
	a.mu.Unlock()

	if broken != "" {
		if err := g.shared.quarantine(g.id, g.replica, broken); err != nil {
			// The store has its Fatal called: without the record a restart would trust this replica again.
			g.log.Error("recording a quarantine failed; this broker must not go on", "error", err)
		}
	}
	if g.failed.Load() != nil {
		return // nothing is acknowledged any more
	}
	if len(a.taken) > 0 && !(waits && g.env.Now().Before(a.again)) && !a.append() && g.failed.Load() != nil {
		return
	}
	if upkeep {
		if err := g.store.Maintain(); err != nil {
			g.poisoned(err)
		}
	}
}

// spaceAgain is how long an append that found the disk full waits before it is tried again.
const spaceAgain = 250 * time.Millisecond

// wait keeps what was taken until there is space. Nothing is in doubt, so the replica goes on meanwhile as one whose disk hangs does: what it has is
// read, and a leader leads as long as nobody else could write what it cannot (see tickGroups).
func (a *appender) wait(err error) {
	g := a.g
	if a.short.Load() == 0 {
		g.log.Error("an append waits for space on the disk", "error", err)
	}
	last, _ := g.store.LastIndex() // from memory
	a.short.Store(last + 1)
	a.again = g.env.Now().Add(spaceAgain)
	g.env.AfterFunc(spaceAgain, a.task.Wake)
}

// append makes what was taken durable in one go and sends the responses. It tells false if the log failed, or the disk has no space.
func (a *appender) append() bool {
	g := a.g
	a.ws = a.ws[:0]
	for i := range a.taken {
		if !a.taken[i].empty {
			a.ws = append(a.ws, a.taken[i].Write)
		}
	}
	if len(a.ws) > 0 {
		begin := g.env.Now()
		a.running.Store(begin.UnixNano())
		err := g.store.Append(a.ws)
		a.running.Store(0)
		switch {
		case err == nil, raftlog.OutOfSpace(err) && mutant.On(mutant.FullDiskAcked):
		case raftlog.OutOfSpace(err):
			a.wait(err)
			return false
		default:
			g.poisoned(err)
			return false
		}
		if a.short.Load() != 0 {
			g.log.Info("the disk has space again", "waited", begin.Sub(a.taken[0].at))
		}
		g.metrics.appendSeconds.Observe(g.env.Now().Sub(begin).Seconds())
		g.metrics.appendWrites.Observe(float64(len(a.ws)))
		clear(a.ws)
	}
	a.local = a.local[:0]
	n := len(a.taken)
	for i := range a.taken {
		w := &a.taken[i]
		n += w.absorbed
		if w.instance != g {
			panic("an append of another instance")
		}
		for _, r := range w.responses {
			if r.GetTo() == g.replica {
				a.local = append(a.local, r)
			} else {
				g.route(r, &a.remote)
			}
		}
	}
	a.remote.send(g.out, nil)
	g.in.answered(a.local, n)
	clear(a.local)
	clear(a.taken)

	a.mu.Lock()
	switch {
	case len(a.queue) == 0:
		a.oldest.Store(0)
	case a.short.Load() != 0: // what is queued behind it did not wait for a slow disk
		a.oldest.Store(g.env.Now().UnixNano())
		a.task.Wake()
	default:
		a.oldest.Store(a.queue[0].at.UnixNano())
	}
	a.short.Store(0) // last: until then nothing of it counts as a hang, see age
	a.mu.Unlock()
	g.task.Wake()
	return true
}
