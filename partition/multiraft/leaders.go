package multiraft

import (
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

const (
	// leadersDelay gathers changes of leadership into one packet. It is short: clients wait for them after a failover.
	leadersDelay = 5 * time.Millisecond
	// leadersSpread is the delay while changes come thick, as when a broker hands over a thousand groups: a hundred packets
	// a second to a peer at most. RULES 26 has 100 ms, which after a failover was half of the outage of the groups elected last.
	leadersSpread = 20 * time.Millisecond
	// fullAgain is how long an asked-for table may be on its way before it is sent again.
	fullAgain = 300 * time.Millisecond
)

// leaderTable knows which broker leads which group (RULES 26): what this one leads, which it tells the others as numbered
// deltas, and what they tell. A gap in a peer's numbers, or a new boot, has its whole table asked for.
type leaderTable struct {
	nonce uint64
	env   *env.Env
	kick  func()

	mu      sync.Mutex
	own     map[uint64]uint64 // group -> term
	pending map[uint64]LeaderDelta
	due     time.Time // when pending goes out; zero if it is empty
	last    time.Time // when deltas last went out
	seq     uint64
	changed bool
	peers   map[int32]*peerTable
}

// peerTable is one peer's table as told, and what it has of ours; guarded by leaderTable.mu.
type peerTable struct {
	nonce  uint64
	whole  bool // nothing is missing up to seq
	seq    uint64
	groups map[uint64]uint64 // group -> term

	wants  bool      // it lacks our table
	fullAt time.Time // when ours was last sent whole
}

func newLeaderTable(nonce uint64, e *env.Env, kick func()) *leaderTable {
	return &leaderTable{
		nonce: nonce, env: e, kick: kick,
		own: make(map[uint64]uint64), pending: make(map[uint64]LeaderDelta), peers: make(map[int32]*peerTable),
	}
}

func (t *leaderTable) setBrokers(ids []int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.peers {
		if !slices.Contains(ids, id) {
			delete(t.peers, id)
			t.changed = true
		}
	}
	for _, id := range ids {
		if t.peers[id] == nil {
			t.peers[id] = &peerTable{groups: make(map[uint64]uint64), wants: true}
		}
	}
}

// leads notes that this broker began (or ceased) to lead a group in a term.
func (t *leaderTable) leads(group, term uint64, leads bool) {
	now := t.env.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if leads {
		t.own[group] = term
	} else {
		if t.own[group] != term {
			return // never said so, or leads again
		}
		delete(t.own, group)
	}
	t.pending[group] = LeaderDelta{Group: group, Term: term, Leads: leads}
	if t.due.IsZero() {
		d := leadersDelay
		if len(t.pending) == 1 && now.Sub(t.last) < leadersDelay {
			d = leadersSpread
		}
		t.due = now.Add(d)
	}
	t.changed = true
	t.kick()
}

// touched notes that a replica of this broker learnt of another leader.
func (t *leaderTable) touched() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.changed {
		t.changed = true
		t.kick()
	}
}

func (t *leaderTable) takeChanged() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.changed
	t.changed = false
	return c
}

// flushAt is when take has something; zero for never.
func (t *leaderTable) flushAt() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.due
}

// take gives the deltas that are due, by rising group, and their number.
func (t *leaderTable) take(now time.Time) ([]LeaderDelta, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.due.IsZero() || now.Before(t.due) {
		return nil, 0
	}
	ds := make([]LeaderDelta, 0, len(t.pending))
	for _, d := range t.pending {
		ds = append(ds, d)
	}
	slices.SortFunc(ds, byGroup)
	clear(t.pending)
	t.due, t.last = time.Time{}, now
	t.seq++
	return ds, t.seq
}

func byGroup(a, b LeaderDelta) int {
	if a.Group < b.Group {
		return -1
	}
	return 1
}

// fill completes a heartbeat to a broker: the newest number, the boot whose table is whole here, and our whole table if
// it lacks it.
func (t *leaderTable) fill(to int32, p *Packet, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.LeadersSeq = t.seq
	pt := t.peers[to]
	if pt == nil {
		return
	}
	if pt.whole {
		p.Heartbeat.EchoNonce = pt.nonce
	}
	if pt.wants && now.Sub(pt.fullAt) >= fullAgain {
		p.LeadersFull = true
		p.Leaders = make([]LeaderDelta, 0, len(t.own))
		for g, term := range t.own {
			if _, later := t.pending[g]; !later { // what pends comes with the next number
				p.Leaders = append(p.Leaders, LeaderDelta{Group: g, Term: term, Leads: true})
			}
		}
		slices.SortFunc(p.Leaders, byGroup)
		pt.fullAt = now
	}
}

// lost notes that a packet with leaders did not reach a broker.
func (t *leaderTable) lost(to int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if pt := t.peers[to]; pt != nil {
		pt.wants, pt.fullAt = true, time.Time{}
	}
}

// receive takes what a peer says of its leaderships and of our table.
func (t *leaderTable) receive(from int32, p *Packet) {
	if p.Heartbeat == nil && len(p.Leaders) == 0 && !p.LeadersFull {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	pt := t.peers[from]
	if pt == nil {
		return
	}
	if p.Nonce != pt.nonce {
		pt.nonce, pt.whole, pt.seq = p.Nonce, false, 0
		clear(pt.groups)
		t.changed = true
	}
	if hb := p.Heartbeat; hb != nil {
		pt.wants = hb.EchoNonce != t.nonce
	}
	switch {
	case p.LeadersFull:
		clear(pt.groups)
		pt.whole, pt.seq = true, p.LeadersSeq
		t.applyLocked(pt, p.Leaders)
	case len(p.Leaders) > 0:
		if pt.whole && p.LeadersSeq == pt.seq+1 {
			pt.seq++
		} else if p.LeadersSeq > pt.seq {
			pt.whole = false // what was lost comes with the whole table; this is news all the same
		}
		t.applyLocked(pt, p.Leaders)
	case p.LeadersSeq != pt.seq:
		pt.whole = false
	}
}

func (t *leaderTable) applyLocked(pt *peerTable, ds []LeaderDelta) {
	for _, d := range ds {
		switch {
		case d.Leads && d.Term >= pt.groups[d.Group]:
			pt.groups[d.Group] = d.Term
		case !d.Leads && pt.groups[d.Group] <= d.Term:
			delete(pt.groups, d.Group)
		}
	}
	t.changed = true
	t.kick()
}

// denies tells whether a broker, all of whose word is here, does not say that it leads a group in a term or a later one.
func (t *leaderTable) denies(broker int32, group, term uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	pt := t.peers[broker]
	return pt != nil && pt.whole && pt.groups[group] < term
}

// leader gives the broker that says to lead a group in the highest term; 0 if none does.
func (t *leaderTable) leader(group uint64) (broker int32, term uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, pt := range t.peers {
		if tt := pt.groups[group]; tt > term {
			broker, term = id, tt
		}
	}
	return broker, term
}
