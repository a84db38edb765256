package multiraft

import (
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

// The election trigger of RULES 21.
const (
	rankDelay    = 150 * time.Millisecond // the k-th live voter waits k times this
	crowdDelay   = 2 * time.Millisecond   // and each of them as much more as groups before this one look for a leader: it takes the disk about that
	againAfter   = 300 * time.Millisecond // then campaigns again after this and up to as much more
	candidateMin = 2 * time.Second        // a candidate younger than this that can win is left alone: retrying throws away real votes
	standAgain   = 150 * time.Millisecond // one that cannot win stands again after up to this

	// The preferred leader of a new group tries again after foundAgain and up to half as much more, then after a quarter longer each time, up to
	// foundSlow: one of a few groups finds its peers at once, one of a thousand must not keep them busy with asking.
	foundAgain = 10 * time.Millisecond
	foundSlow  = 160 * time.Millisecond
	foundFor   = 10 * time.Second // for this long
	// freshDelay has the other founders of a new group wait for the preferred one.
	freshDelay = 300 * time.Millisecond
	// holdMost is for how long after the start a group that is held does not stand for want of the others; see Host.ReleaseHeld.
	holdMost = 3 * time.Second
	// maxCampaigns bounds the campaigns started in one run, so that a broker with thousands of leaderless groups does not choke
	// on its own election storm (RULES 24).
	maxCampaigns = 64
)

// elections watches the groups here that have no leader, or one on a broker that is not heard, and has them campaign.
type elections struct {
	live *liveness
	env  *env.Env
	kick func()

	mu        sync.Mutex
	watch     map[uint64]*contest
	heldUntil time.Time // before that a group that is held does not stand, unless it is asked to
	released  bool
}

// contest is one group without a leader; guarded by elections.mu.
type contest struct {
	g     *Group
	since time.Time // a majority has been alive since then; zero if none is
	next  time.Time
	tried bool
	wait  time.Duration // between two tries of a founder
	early time.Time     // campaigns then although it is not due: see soon; zero for not
	// greeted is the term in which a leader was called last, and greetNext when it may be called again; see greetLocked.
	greeted   uint64
	greetNext time.Time
}

func newElections(l *liveness, e *env.Env, kick func()) *elections {
	return &elections{live: l, env: e, kick: kick, watch: make(map[uint64]*contest)}
}

// add watches a group until it has a leader that is heard.
func (e *elections) add(g *Group) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watch[g.id] == nil {
		e.watch[g.id] = &contest{g: g}
	}
	e.kick()
}

func (e *elections) remove(g *Group) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.watch[g.id]; c != nil && c.g == g {
		delete(e.watch, g.id)
	}
}

// soon has a group campaign after wait, if it has still no leader then.
func (e *elections) soon(g *Group, wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.watch[g.id]
	if c == nil || c.g != g {
		return
	}
	if at := e.env.Now().Add(wait); c.early.IsZero() || at.Before(c.early) {
		c.early = at
		e.kick()
	}
}

// hold has held groups wait until then, unless they were released.
func (e *elections) hold(until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.released {
		e.heldUntil = until
	}
}

func (e *elections) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.released, e.heldUntil = true, time.Time{}
	e.kick()
}

// reconsider has contests that wait for a majority looked at again; run does so each time.
func (e *elections) reconsider() { e.kick() }

// run starts the campaigns that are due and tells when the next one is; zero for none.
func (e *elections) run(now time.Time) (due time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.watch) == 0 {
		return due
	}
	ids := make([]uint64, 0, len(e.watch))
	for id := range e.watch {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	started, crowd := 0, 0
	holding := now.Before(e.heldUntil)
	if holding {
		due = e.heldUntil
	}
	for _, id := range ids {
		if c := e.watch[id]; holding && c.g.held && c.early.IsZero() {
			continue // without a look at it: each that is opened brings this about, and there may be thousands
		}
		next, campaign, done := e.considerLocked(e.watch[id], now, time.Duration(crowd)*crowdDelay, started < maxCampaigns)
		if done {
			delete(e.watch, id)
			continue
		}
		crowd++
		if campaign {
			started++
		}
		if !next.IsZero() && (due.IsZero() || next.Before(due)) {
			due = next
		}
	}
	return due
}

// considerLocked looks at one contest: when to look again (zero: when something changes, or at the next heartbeat), whether it
// campaigned, and whether it is over.
func (e *elections) considerLocked(c *contest, now time.Time, crowd time.Duration, may bool) (next time.Time, campaigned, done bool) {
	g, v := c.g, c.g.view.Load()
	if v.stopped {
		return next, false, true
	}
	if v.lead != 0 {
		if v.leadBroker == 0 || e.live.hears(v.leadBroker) {
			return next, false, true
		}
		g.leaderGone(v.lead, v.term) // a late message of a dead leader brought it back to mind
		c.since = time.Time{}
		if c.tried { // and ended this replica's try
			c.early = now
		}
		return next, false, false
	}
	e.greetLocked(c, v, now)
	members := g.members.get()
	rank, voter := e.live.rank(v.conf, members, g.replica, now)
	if !voter {
		return next, false, false
	}
	found := v.foundUntil.After(now)
	if !found && !e.live.quorumWithin(v.conf, members, g.replica, now, e.live.silent) {
		c.since, c.tried, c.early = time.Time{}, false, time.Time{}
		return next, false, false
	}
	if c.since.IsZero() {
		c.since = now
	}
	if !c.tried {
		c.next = c.since
		if !found {
			c.next = c.since.Add(time.Duration(rank)*(rankDelay+crowd) + v.delay)
		}
	}
	if !c.early.IsZero() && c.early.Before(c.next) {
		c.next = c.early
	}
	// A replica that just voted leaves its candidate time to be heard as leader: a PreVote now could depose it, as the old
	// leader's would after each transfer.
	if c.next.Before(v.notBefore) {
		c.next = v.notBefore
	}
	if now.Before(c.next) || !may {
		return c.next, false, false
	}
	c.tried, c.early = true, time.Time{}
	if found {
		c.wait = min(max(c.wait+c.wait/4, foundAgain), foundSlow)
		c.next = now.Add(c.wait + time.Duration(e.env.Int64N(int64(c.wait/2))))
	} else {
		c.next = now.Add(againAfter + crowd + time.Duration(e.env.Int64N(int64(againAfter))))
	}
	g.triggered()
	return c.next, true, false
}
