package multiraft

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

// The election trigger of RULES 21.
const (
	rankDelay    = 150 * time.Millisecond // the k-th live voter waits k times this
	crowdDelay   = 2 * time.Millisecond   // and as much more for each group that looked for a leader before this one: its election takes the disk about that
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
	// holdMost is for how long after the start a group that is held does not stand for want of the others; see Host.ReleaseHeld. It holds
	// nothing up that anybody else could lead: the other voters that are alive stand, and this one votes.
	holdMost = 15 * time.Second
	// heldEvery is how often they are looked at meanwhile: some have a leader.
	heldEvery = 50 * time.Millisecond
	// maxCampaigns bounds the campaigns started in one run, so that a broker with thousands of leaderless groups does not choke
	// on its own election storm (RULES 24).
	maxCampaigns = 64
	// maxStanding is how many of them may be under way. More would only make each other wait for the disk until all begin again.
	maxStanding = 128
	// slotsEvery is how often those who wait for others to end look again.
	slotsEvery = 10 * time.Millisecond
)

// elections watches the groups here that have no leader, or one on a broker that is not heard, and has them campaign.
type elections struct {
	live *liveness
	env  *env.Env
	kick func()

	mu        sync.Mutex
	watch     map[uint64]*contest
	heldUntil time.Time // before that a group that is held does not stand, unless it is asked to
	heldLook  time.Time // when those that are held are looked at again
	released  bool
}

// contest is one group without a leader; guarded by elections.mu.
type contest struct {
	g     *Group
	since time.Time     // a majority has been alive since then; zero if none is
	crowd time.Duration // how much longer the second voter waits, and the third twice, for those that came before
	next  time.Time
	tried bool
	found bool          // the group was just created, and this is its preferred leader
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

// run starts the campaigns that are due and tells when to run next; zero for when something changes, or at the next heartbeat.
func (e *elections) run(now time.Time) (due time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.watch) == 0 {
		return due
	}
	soonest := func(at time.Time) {
		if !at.IsZero() && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	holding := now.Before(e.heldUntil)
	look := !holding || !now.Before(e.heldLook)
	if holding {
		if look {
			e.heldLook = now.Add(heldEvery)
		}
		due = e.heldLook
	}
	crowd, standing := 0, 0
	var ready []*contest
	for _, id := range slices.Sorted(maps.Keys(e.watch)) {
		c := e.watch[id]
		held := holding && c.g.held && c.early.IsZero()
		if held && !look {
			continue // each that is opened brings this about, and there may be thousands
		}
		next, done := e.considerLocked(c, now, crowd)
		if held { // it only greets a leader that others tell of
			c.since = time.Time{}
		}
		switch {
		case done:
			delete(e.watch, id)
			continue
		case c.since.IsZero(): // it cannot have a leader, and costs the disk nothing
			continue
		}
		crowd++
		switch {
		case !now.Before(next):
			ready = append(ready, c)
			continue
		case c.tried && !c.found:
			standing++
		}
		soonest(next)
	}
	// The one that has waited longest comes first, so that those which cannot win keep nobody back.
	slices.SortStableFunc(ready, func(a, b *contest) int { return a.next.Compare(b.next) })
	started := 0
	for _, c := range ready {
		if started == maxCampaigns || !c.found && standing >= maxStanding {
			soonest(now.Add(slotsEvery))
			continue
		}
		started++
		if !c.found {
			standing++
		}
		e.campaignLocked(c, now)
		soonest(c.next)
	}
	return due
}

// considerLocked looks at one contest: when it campaigns, or when to look again (zero: when something changes, or at the next
// heartbeat), and whether it is over. crowd is how many come before it.
func (e *elections) considerLocked(c *contest, now time.Time, crowd int) (next time.Time, done bool) {
	g, v := c.g, c.g.view.Load()
	if v.stopped {
		return next, true
	}
	if v.lead != 0 {
		if v.leadBroker == 0 || e.live.hears(v.leadBroker) {
			return next, true
		}
		g.leaderGone(v.lead, v.term) // a late message of a dead leader brought it back to mind
		c.since = time.Time{}
		if c.tried { // and ended this replica's try
			c.early = now
		}
		return next, false
	}
	e.greetLocked(c, v, now)
	members := g.members.get()
	rank, voter := e.live.rank(v.conf, members, g.replica, now)
	if !voter {
		c.since = time.Time{}
		return next, false
	}
	c.found = v.foundUntil.After(now)
	if !c.found && !e.live.quorumWithin(v.conf, members, g.replica, now, e.live.silent) {
		c.since, c.tried, c.early = time.Time{}, false, time.Time{}
		return next, false
	}
	if c.since.IsZero() {
		c.since, c.crowd = now, time.Duration(crowd)*crowdDelay
	}
	if !c.tried {
		c.next = c.since
		if !c.found {
			c.next = c.since.Add(time.Duration(rank)*(rankDelay+c.crowd) + v.delay)
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
	return c.next, false
}

func (e *elections) campaignLocked(c *contest, now time.Time) {
	c.tried, c.early = true, time.Time{}
	if c.found {
		c.wait = min(max(c.wait+c.wait/4, foundAgain), foundSlow)
		c.next = now.Add(c.wait + time.Duration(e.env.Int64N(int64(c.wait/2))))
	} else {
		c.next = now.Add(againAfter + time.Duration(e.env.Int64N(int64(againAfter))))
	}
	c.g.triggered()
}
