package multiraft

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/runnel-io/runnel/partition/env"
)

// weighed looks at a broker's groups as a scrape does.
func weighed(n *node) weight { return n.host.weigh(n.proc.Env().Now()) }

func TestAScrapeSeesWhatWaitsForAMajority(t *testing.T) {
	c := newCluster(t, 51, 3)
	c.addGroup(1, 3)
	c.addGroup(2, 1)
	c.startAll()
	c.awaitLeader(1)
	c.put(1, "a")
	c.awaitLeader(2)
	c.settled(1)
	lead := c.leader(1)
	c.until("nothing waits", 5*time.Second, func() bool {
		w := weighed(lead)
		return w.unapplied == 0 && w.leaderless == 0
	})
	if w := weighed(c.nodes[1]); w.segments != 2 || w.bytes == 0 {
		t.Errorf("broker 1 runs two replicas of a segment each, and shows %+v", w)
	}
	for _, id := range c.ids {
		if id != lead.id {
			c.kill(id)
		}
	}
	lead.ledgers[1].propose("b")
	c.until("the entry is in the leader's log alone", time.Second, func() bool { return weighed(lead).unapplied == 1 })
	c.until("it steps down", 10*time.Second, func() bool { return weighed(lead).leaderless == 1 })
	c.start(c.ids[lead.id%3])
	c.until("a majority took it", 30*time.Second, func() bool {
		w := weighed(lead)
		return w.unapplied == 0 && w.leaderless == 0
	})
}

func TestAScrapeSeesAHangingDisk(t *testing.T) {
	c := loadedCluster(t, 52)
	n := c.leader(1)
	if w := weighed(n); w.stalled != 0 {
		t.Fatalf("%d replicas are stalled at rest", w.stalled)
	}
	n.proc.Delay = func(class env.Class) time.Duration {
		if class == env.ClassAppend {
			return time.Hour
		}
		return 0
	}
	n.ledgers[1].propose("stuck")
	c.until("it counts as stalled", 2*stallAfter*queueFactor, func() bool { return weighed(n).stalled == 1 })
}

// seconds is an Observer that keeps what it sees.
type seconds []float64

func (s *seconds) Observe(v float64) { *s = append(*s, v) }

// handClock is a clock that stands still.
type handClock struct {
	env.Clock
	now time.Time
}

func (c *handClock) Now() time.Time { return c.now }

func (c *handClock) Wall() time.Time { return c.Now() }

func TestCommitsAreTimedFromTheirProposals(t *testing.T) {
	clock, got := &handClock{now: time.Unix(100, 0)}, seconds{}
	var p proposals
	commit := func(index uint64) { p.committed(index, clock, &got) }
	pass := func(d time.Duration) { clock.now = clock.now.Add(d) }

	p.placed(5) // an entry that nobody proposed here, such as a new leader's empty one
	commit(5)
	p.made(clock)
	pass(time.Second)
	p.made(clock) // not placed yet: the older one counts
	p.placed(7)
	pass(time.Second)
	p.made(clock)
	p.placed(9)
	commit(6)
	if len(got) != 0 {
		t.Fatalf("timed before the commit: %v", got)
	}
	commit(8)
	pass(time.Second)
	commit(20)
	if len(got) != 2 || got[0] != 2 || got[1] != 1 {
		t.Errorf("took %v seconds, want 2 and 1", got)
	}
	p.made(clock)
	p.placed(21)
	p.clear() // the leadership is over
	commit(30)
	if len(got) != 2 {
		t.Errorf("what another leader committed was timed: %v", got)
	}
	for i := range uint64(10 * maxTimed) { // nothing commits
		p.made(clock)
		p.placed(40 + i)
	}
	if len(p.timed) > maxTimed {
		t.Errorf("%d proposals are kept", len(p.timed))
	}
	// A leader that is never through: the array stays small.
	for i := range uint64(10 * maxTimed) {
		p.made(clock)
		p.placed(10_000 + i)
		commit(10_000 + i - 1)
	}
	if cap(p.timed) > 4*maxTimed {
		t.Errorf("the array has %d places", cap(p.timed))
	}
}

func TestQueuesAreShownWhereThereArePools(t *testing.T) {
	e, stop := env.NewReal(env.RealOptions{Raft: 1, Append: 1, Serve: 1})
	defer stop()
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCollector(&Host{shared: &shared{env: e}}))
	held, release := make(chan struct{}), make(chan struct{})
	e.NewTask(env.ClassAppend, "holds the worker", func() { close(held); <-release }).Wake()
	<-held
	for range 3 {
		e.NewTask(env.ClassAppend, "waits", func() {}).Wake()
	}
	want := `
		# HELP runnel_raft_queue_depth Tasks that wait for a worker: scheduler steps and applies, append writes logs, serve reads them and opens replicas.
		# TYPE runnel_raft_queue_depth gauge
		runnel_raft_queue_depth{queue="append"} 3
		runnel_raft_queue_depth{queue="scheduler"} 0
		runnel_raft_queue_depth{queue="serve"} 0
	`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "runnel_raft_queue_depth"); err != nil {
		t.Error(err)
	}
	close(release)
}
