package controller

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	"github.com/runnel-io/runnel/placement/plan"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 2 * time.Second
	// maxHandoverBackoff is longer: what is written waits while a leader hands over, and for a new one if the heir stood in vain.
	maxHandoverBackoff = 10 * time.Second
	// seenFor is how long what a broker said counts: a leader may change any time.
	seenFor = 2 * time.Second
	// changeLimit bounds the wait for a leader to do a step. It is asked again after it.
	changeLimit = 10 * time.Second
	// commandLimit bounds the wait for a command; it may be committed later all the same, and the state tells.
	commandLimit = 10 * time.Second
	// worthLogging is how long a move waits for the same thing before the log says so.
	worthLogging = 5 * time.Second
	// stuckAfter is how long a move waits for the same thing before it no longer counts against Config.Parallel: moves of
	// partitions that lost their majority must not keep others from being healed.
	stuckAfter = time.Minute
)

// mover is a move under way, as this leader drives it. The move itself is in the state.
type mover struct {
	id        uint64
	topic     string
	topicID   uint64
	number    int32
	group     uint64
	adds      []uint64
	heals     bool // plan.Heals
	since     time.Time
	phase     placement.Phase
	cancelled bool

	busy bool // a step is being done
	// after is the newest poll that was begun before the last step ended: what it and older ones say is not news.
	after    uint64
	groups   map[int32]seenGroup    // by broker
	installs map[uint64]seenReplica // by replica
	// detached holds the new replicas of a cancelled move that a leader has answered to be no learners, after the cancelling.
	detached map[uint64]bool

	backoff   time.Duration
	retryAt   time.Time
	handovers int // those that failed
	// failed is which step failed last and for what reason; it stands for what the move waits for until one succeeds.
	failed       string
	waiting      string
	waitingKey   string // what is the same while the wait is, in whatever words
	waitingSince time.Time
	turn         bool // action.turn, of what it waits for
	logged       string
	loggedAt     time.Time
	unfitSince   time.Time // since when leaders have told nothing but what action.unfit says, zero if the last word was another
}

type seenGroup struct {
	seq      uint64
	at       time.Time
	revision uint64     // of the state that the broker had then
	group    *ask.Group // nil: the broker does not lead it in session
}

type seenReplica struct {
	seq     uint64
	known   bool
	install ask.Install
}

// partition returns the partition while this move is its move, else nil.
func (m *mover) partition(s *placement.State) *placement.Partition {
	t := s.Topics[m.topic]
	if t == nil || t.ID != m.topicID || int(m.number) >= len(t.Partitions) {
		return nil
	}
	p := &t.Partitions[m.number]
	if p.Move == nil || p.Move.ID != m.id {
		return nil
	}
	return p
}

func (m *mover) saw(now time.Time, broker int32, seq uint64, resp *ask.StatusResponse) {
	seen := seenGroup{seq: seq, at: now, revision: resp.Revision}
	if g, ok := resp.Groups[m.group]; ok {
		seen.group = &g
	}
	m.groups[broker] = seen
}

func (m *mover) sawInstall(replica, seq uint64, resp *ask.StatusResponse) {
	in, known := resp.Installs[replica]
	if !known && m.installs[replica].known { // keep the figures
		in, known = m.installs[replica].install, true
		in.State = ask.InstallWaiting
	}
	m.installs[replica] = seenReplica{seq: seq, known: known, install: in}
}

// sight gathers what was seen since the last step. complete is false while a broker that is heard has not answered since, and so
// may be the leader.
func (d *driver) sight(now time.Time, m *mover, p *placement.Partition) (v sight, complete bool) {
	v = sight{installs: map[uint64]ask.Install{}, detached: m.detached, unfit: m.unfit(now), handovers: m.handovers, alive: d.hearing.alive, quarantined: d.quarantined(), revision: func(id int32) uint64 {
		if b := d.brokers[id]; b != nil {
			return b.revision
		}
		return 0
	}}
	complete = true
	for _, r := range p.All() {
		if !d.hearing.alive(r.Broker) {
			continue
		}
		seen := m.groups[r.Broker]
		if seen.seq <= m.after || now.Sub(seen.at) > seenFor {
			if b := d.brokers[r.Broker]; b == nil || b.err == "" { // one that fails to answer is not waited for
				complete = false
			}
			continue
		}
		if seen.group != nil && (v.group == nil || seen.group.Term > v.group.Term) {
			v.lead, v.group, v.leadRevision = r.Broker, seen.group, seen.revision
		}
	}
	if p.Move.Phase != placement.PhaseInstalling || p.Move.Cancelled {
		return v, complete || v.group != nil
	}
	for _, r := range p.Move.Adds {
		in := m.installs[r.ID]
		if in.known && in.seq > m.after {
			v.installs[r.ID] = in.install
		}
		if in.seq <= m.after && d.hearing.alive(r.Broker) {
			if b := d.brokers[r.Broker]; b == nil || b.err == "" {
				complete = false
			}
		}
	}
	return v, complete
}

// sorted returns the moves: those that heal, and then the others, the oldest first.
func (d *driver) sorted() []*mover {
	out := make([]*mover, 0, len(d.movers))
	for _, m := range d.movers {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *mover) int {
		if a.heals != b.heals {
			if a.heals {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.id, b.id)
	})
	return out
}

// waited tells how long the move has waited for what it waits for.
func (m *mover) waited(now time.Time) time.Duration {
	if m.waiting == "" {
		return 0
	}
	return now.Sub(m.waitingSince)
}

// unfit tells for how long leaders have found the new voters unfit. What they lacked may have changed meanwhile, and back again.
func (m *mover) unfit(now time.Time) time.Duration {
	if m.unfitSince.IsZero() {
		return 0
	}
	return now.Sub(m.unfitSince)
}

// adopt begins to drive a move, whatever its phase: it may be new or another leader's.
func (d *driver) adopt(now time.Time, t *placement.Topic, number int32) {
	p := &t.Partitions[number]
	if d.movers[p.Move.ID] != nil {
		return
	}
	m := &mover{
		id: p.Move.ID, topic: t.Name, topicID: t.ID, number: number, group: p.Group, since: now, waitingSince: now,
		phase: p.Move.Phase, cancelled: p.Move.Cancelled, heals: plan.Heals(p.Move.Kind),
		groups: map[int32]seenGroup{}, installs: map[uint64]seenReplica{}, detached: map[uint64]bool{}, after: d.seq,
	}
	for _, r := range p.Move.Adds {
		m.adds = append(m.adds, r.ID)
	}
	d.movers[m.id] = m
	d.log.Info("a move is under way", "topic", m.topic, "partition", m.number, "move", m.id, "phase", string(m.phase),
		"kind", string(p.Move.Kind), "reason", p.Move.Reason)
}

// stepMoves does the next step of every move that can have one.
func (d *driver) stepMoves(now time.Time, s *placement.State, moves []*mover) {
	room := d.admission(now, s)
	for _, m := range moves {
		if m.busy {
			continue
		}
		p := m.partition(s)
		if p == nil {
			d.over(now, s, m)
			continue
		}
		m.phase, m.cancelled = p.Move.Phase, p.Move.Cancelled
		if now.Before(m.retryAt) {
			d.dueAt(m.retryAt)
			continue
		}
		if p.Move.Phase == placement.PhaseProposed && len(p.Move.Adds) > 0 {
			why := room.refuses(p.Move, m.heals)
			if d.standsStill(p) {
				why = "too few brokers of its replicas are heard, or one that it goes to is not: it would stand still"
			}
			if why != "" {
				d.wait(now, m, why)
				continue
			}
		}
		v, complete := d.sight(now, m, p)
		if !complete && needsSight(p.Move) {
			d.pollAwaited(p)
			continue
		}
		a := nextAction(m.topicID, m.number, p, v)
		switch {
		case v.group == nil: // nobody tells
		case !a.unfit:
			m.unfitSince = time.Time{}
		case m.unfitSince.IsZero():
			m.unfitSince = now
		}
		switch {
		case d.steps >= maxSteps: // an answer makes room
		case a.command != nil:
			if p.Move.Phase == placement.PhaseProposed {
				room.admit(p.Move)
			}
			d.commit(m, a.command, func() {})
		case a.cancel != "":
			d.log.Warn("a move is turned back", "topic", m.topic, "partition", m.number, "move", m.id, "reason", a.cancel)
			d.commit(m, placement.CancelMove{TopicID: m.topicID, Partition: m.number, Move: m.id}, func() {
				d.planner.cancelled(d.cfg.Env.Now(), m.group)
			})
		case a.change != nil:
			d.change(m, v.lead, a.change)
		default:
			m.turn = a.turn
			d.wait(now, m, a.wait)
		}
	}
}

// needsSight tells whether a move's next step depends on what brokers say.
func needsSight(m *placement.Move) bool {
	return m.Phase != placement.PhaseLeft && (m.Phase != placement.PhaseProposed || len(m.Adds) == 0)
}

// pollAwaited has the partition's brokers polled at once: a step just ended, and what they said before is old.
func (d *driver) pollAwaited(p *placement.Partition) {
	for _, r := range p.All() {
		if b := d.brokers[r.Broker]; b != nil && !b.asking {
			b.soon = true
		}
	}
}

// over forgets a move that the state no longer has.
func (d *driver) over(now time.Time, s *placement.State, m *mover) {
	delete(d.movers, m.id)
	d.planner.dirty = true
	how, count := "finished", &d.counts.finished
	switch {
	case s.Topics[m.topic] == nil || s.Topics[m.topic].ID != m.topicID:
		how, count = "ended with its topic", &d.counts.failed
	case m.cancelled || m.phase == placement.PhaseProposed:
		how, count = "cancelled", &d.counts.cancelled
	case m.phase != placement.PhaseLeft:
		how, count = "ended by a recovery", &d.counts.failed
	default:
		d.planner.finished(m.group)
	}
	count.Add(1)
	d.log.Info("a move is over", "how", how, "topic", m.topic, "partition", m.number, "move", m.id, "took", now.Sub(m.since).Round(time.Millisecond))
}

func (d *driver) wait(now time.Time, m *mover, why string) {
	m.waitFor(now, why, why)
	d.sayWhy(now, m)
}

// waitFor notes what the move waits for, which is the same as before if the key is.
func (m *mover) waitFor(now time.Time, key, why string) {
	if m.waitingKey != key {
		m.waitingKey, m.waitingSince = key, now
	}
	m.waiting = why
}

// sayWhy logs what a move waits for, once, when it has waited for a while.
func (d *driver) sayWhy(now time.Time, m *mover) {
	if m.waiting == "" || m.waiting == m.logged {
		return
	}
	if at := m.waitingSince.Add(worthLogging); now.Before(at) {
		d.dueAt(at)
		return
	}
	m.logged = m.waiting
	d.log.Info("a move waits", "topic", m.topic, "partition", m.number, "move", m.id, "phase", string(m.phase), "for", m.waiting)
}

// commit has a command committed for a move; then runs on the loop if it was.
func (d *driver) commit(m *mover, cmd placement.Command, then func()) {
	m.busy = true
	d.spawn(&d.steps, func() func() {
		err := d.command(cmd)
		return func() {
			d.stepped(m, fmt.Sprintf("%T", cmd), err)
			if err == nil {
				then()
			}
		}
	})
}

// command commits a command, for no longer than commandLimit.
func (d *driver) command(cmd placement.Command) *runnelv1.Error {
	ctx, cancel := d.cfg.Env.Within(d.ctx, commandLimit)
	defer cancel()
	return d.desk.submit(ctx, cmd)
}

// change has the partition's leader do a step.
func (d *driver) change(m *mover, lead int32, req *ask.ChangeRequest) {
	m.busy = true
	d.spawn(&d.steps, func() func() {
		_, err := d.call(d.ctx, lead, ask.MethodChange, ask.Encode(req), changeLimit)
		return func() {
			d.stepped(m, string(req.Kind), err)
			m.after = d.seq // what was seen of the group before is old
			if err == nil && m.cancelled && req.Kind == ask.RemoveLearner {
				m.detached[req.Replica] = true
			}
		}
	})
}

// stepped takes in how a step ended. A step that failed may have taken effect: what is seen next tells.
func (d *driver) stepped(m *mover, what string, err *runnelv1.Error) {
	now := d.cfg.Env.Now()
	m.busy, m.turn = false, false
	d.again = true
	if err == nil {
		m.backoff, m.failed, m.waiting, m.waitingKey, m.waitingSince = 0, "", "", "", now
		return
	}
	most := maxBackoff
	if what == string(ask.Transfer) {
		m.handovers++
		most = maxHandoverBackoff
	}
	m.backoff = min(max(firstBackoff, 2*m.backoff), most)
	m.retryAt = now.Add(m.backoff)
	why := fmt.Sprintf("%s is tried again: %s", what, err.Error())
	m.waitFor(now, what, why) // each heir in its turn is another why
	failed := what + " " + err.GetReason().String()
	if m.failed != failed && (m.failed == "" || now.Sub(m.loggedAt) >= worthLogging) && d.ctx.Err() == nil {
		m.failed, m.loggedAt = failed, now
		level := slog.LevelWarn
		if err.GetKind() == runnelv1.ErrorKind_ERROR_KIND_RETRIABLE { // a leader that moved, or the like
			level = slog.LevelInfo
		}
		d.log.Log(d.ctx, level, "a step of a move was not done and is tried again", "topic", m.topic, "partition", m.number, "move", m.id,
			"phase", string(m.phase), "step", what, "error", err)
	}
}
