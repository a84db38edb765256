package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// small has several segments in little time.
var small = map[string]string{"segment.bytes": "65536"}

func TestReplicaMovesWhileRecordsAreProduced(t *testing.T) {
	c := newDeskCluster(t, 4)
	c.createOn(small, 1, 2, 3)
	l := c.produce()
	l.more(200)
	old := c.on(3)
	c.propose(placement.KindManual, []int32{4}, []int32{3})
	added := c.on(4)
	c.finish()
	l.more(50)
	l.check()
	_, g := c.leads()
	if !slices.Contains(g.Voters, added) || slices.Contains(g.Voters, old) || len(g.Voters) != 3 || len(g.Learners) > 0 {
		t.Fatalf("the group is %+v", g)
	}
	if h := c.node(3).holds(); len(h) != 0 {
		t.Fatalf("broker 3 still holds %v", h)
	}
	if h := c.node(4).holds(); !slices.Equal(h, []uint64{added}) {
		t.Fatalf("broker 4 holds %v, not %d", h, added)
	}
}

// A voter alone has nobody to hand over to before the joint configuration.
func TestOnlyReplicaMoves(t *testing.T) {
	c := newDeskCluster(t, 2)
	c.createOn(small, 1)
	l := c.produce()
	l.more(100)
	c.propose(placement.KindManual, []int32{2}, []int32{1})
	c.finish()
	l.more(50)
	l.check()
	if h := c.node(1).holds(); len(h) != 0 {
		t.Fatalf("broker 1 still holds %v", h)
	}
}

func TestReplicationFactorGrowsAndShrinks(t *testing.T) {
	c := newDeskCluster(t, 3)
	c.createOn(nil, 1)
	l := c.produce()
	l.more(20)
	c.apply(placement.SetReplicationFactor{Topic: "t", RF: 3})
	c.propose(placement.KindReplicationFactor, []int32{2, 3}, nil)
	c.finish()
	l.more(20)
	c.apply(placement.SetReplicationFactor{Topic: "t", RF: 2})
	lead, _ := c.leads()
	c.propose(placement.KindReplicationFactor, nil, []int32{lead.id}) // which has to hand over first
	c.finish()
	l.more(20)
	l.check()
	if h := lead.holds(); len(h) != 0 {
		t.Fatalf("broker %d still holds %v", lead.id, h)
	}
}

// Each party is started again at every point of a move: when a phase was written down, and when what it asks for is done but the next
// one is not written down yet.
func TestMoveSurvivesRestartsOfEachPartyInEachPhase(t *testing.T) {
	parties := map[string]func(c *testCluster) *testNode{
		"target":  func(c *testCluster) *testNode { return c.node(4) },
		"leaving": func(c *testCluster) *testNode { return c.node(3) },
		"leader": func(c *testCluster) *testNode {
			lead, _ := c.leads()
			return lead
		},
	}
	for name, party := range parties {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name == "leaving" {
				t.Skip("the two others do")
			}
			c := newDeskCluster(t, 4)
			c.createOn(small, 1, 2, 3)
			l := c.produce()
			l.more(100)
			c.propose(placement.KindManual, []int32{4}, []int32{3})
			added := c.on(4)
			again := func() {
				c.eventually("a broker to restart", func() (bool, string) {
					n := party(c)
					if n == nil {
						return false, "no " + name
					}
					n.restart()
					return true, ""
				})
			}
			for c.part().Move != nil {
				again()
				m := c.part().Move
				c.eventually("the work of phase "+string(m.Phase), func() (bool, string) {
					err := c.act(m)
					return err == nil, fmt.Sprint(err)
				})
				again()
				c.eventually("the end of phase "+string(m.Phase), func() (bool, string) {
					_, why := c.step()
					return c.part().Move == nil || c.part().Move.Phase != m.Phase, why
				})
			}
			c.finish()
			l.more(50)
			l.check()
			for id, want := range map[int32][]uint64{3: nil, 4: {added}} {
				c.eventually("only what belongs there is on disk", func() (bool, string) {
					h := c.node(id).holds()
					return slices.Equal(h, want), fmt.Sprintf("broker %d holds %v, not %v", id, h, want)
				})
			}
		})
	}
}

// midway stops calls of a broker that asks for the bytes of files, once it has got a few. Closing the channel lets it go on.
func (c *testCluster) midway(broker int32) (reached, release chan struct{}) {
	reached, release = make(chan struct{}), make(chan struct{})
	var once sync.Once
	var reads atomic.Int32
	c.setGate(func(ctx context.Context, from, _ int32, method string) error {
		if from != broker || method != "ship.read" || reads.Add(1) < 4 {
			return nil
		}
		once.Do(func() { close(reached) })
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return reached, release
}

// installing begins a move of t/0 from broker 3 to 4 and stops it while the log travels.
func installing(t *testing.T) (c *testCluster, l *load, release chan struct{}) {
	c = newDeskCluster(t, 4)
	c.createOn(small, 1, 2, 3)
	l = c.produce()
	l.more(200)
	reached, release := c.midway(4)
	c.propose(placement.KindManual, []int32{4}, []int32{3})
	c.reach(placement.PhaseInstalling)
	<-reached
	return c, l, release
}

func (c *testCluster) install(broker int32) ask.Install {
	id := c.on(broker)
	return c.ask(c.node(broker), ask.StatusRequest{Installs: []uint64{id}}).Installs[id]
}

func TestInstallGoesOnFromAnotherSource(t *testing.T) {
	c, l, release := installing(t)
	i := c.install(4)
	if i.State != ask.InstallReceiving || i.Done == 0 || i.Done >= i.Total {
		t.Fatalf("midway the install is %+v", i)
	}
	lead, _ := c.leads()
	if lead == nil {
		t.Fatal("no leader")
	}
	lead.stop() // which is the source
	close(release)
	c.eventually("the install is done without its first source", func() (bool, string) {
		i := c.install(4)
		return i.State == ask.InstallDone, fmt.Sprintf("%+v", i)
	})
	lead.open()
	lead.run(false, nil)
	c.finish()
	l.check()
	if got := c.ask(c.node(4), ask.StatusRequest{Sizes: true}); got.Bytes[c.part().Group] == 0 || got.Boot == 0 {
		t.Fatalf("broker 4 says %+v", got)
	}
}

// A source that refuses, and one that gives something and then nothing more, are passed over for another one, though they lead and live.
func TestInstallPassesOverASourceThatFails(t *testing.T) {
	for _, reads := range []int32{0, 3} {
		t.Run(fmt.Sprintf("after %d reads", reads), func(t *testing.T) {
			c := newDeskCluster(t, 4)
			c.createOn(small, 1, 2, 3)
			l := c.produce()
			l.more(200)
			lead, _ := c.leads()
			if lead == nil {
				t.Fatal("no leader")
			}
			var asked, got atomic.Int32
			c.setGate(func(_ context.Context, from, to int32, method string) error {
				if from != 4 || to != lead.id || !strings.HasPrefix(method, "ship.") {
					return nil
				}
				if asked.Add(1); reads > 0 && (method != "ship.read" || got.Add(1) <= reads) {
					return nil
				}
				return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, "too much to do")
			})
			c.propose(placement.KindManual, []int32{4}, []int32{3})
			c.finish()
			if asked.Load() == 0 {
				t.Fatal("the leader was not asked at all")
			}
			l.check()
		})
	}
}

// Whoever leads next knows where the learner is, though it was not the one that added it.
func TestNextLeaderKnowsTheLearner(t *testing.T) {
	c := newDeskCluster(t, 4)
	c.createOn(small, 1, 2, 3)
	l := c.produce()
	l.more(20)
	c.propose(placement.KindManual, []int32{4}, []int32{3})
	c.reach(placement.PhaseLearner)
	before, _ := c.leads()
	if before == nil {
		t.Fatal("no leader")
	}
	to := c.on(3)
	if before.id == 3 {
		to = c.on(2)
	}
	c.eventually("the leadership moves", func() (bool, string) {
		err := c.change(ask.ChangeRequest{Kind: ask.Transfer, Replica: to})
		return err == nil, fmt.Sprint(err)
	})
	l.more(100)
	c.eventually("the learner hears of it", func() (bool, string) {
		_, g := c.leads()
		return g.Replica == to && g.Peers[c.on(4)].CaughtUp, fmt.Sprintf("%+v", g)
	})
	c.finish()
	l.check()
}

func TestTargetIsStartedAgainMidway(t *testing.T) {
	c, l, _ := installing(t)
	c.node(4).stop()
	c.setGate(nil)
	n := &testNode{c: c, id: 4, dir: fmt.Sprintf("%s/4", c.dir)}
	n.open()
	if h := n.holds(); len(h) != 0 {
		t.Fatalf("half a replica is known: %v", h)
	}
	n.run(false, nil)
	c.eventually("the install is done", func() (bool, string) {
		i := c.install(4)
		return i.State == ask.InstallDone, fmt.Sprintf("%+v", i)
	})
	// Once more, before the state says that it is a learner: what is on the disk is run as it is.
	c.setGate(func(_ context.Context, from, _ int32, method string) error {
		if from == 4 && strings.HasPrefix(method, "ship.") {
			t.Errorf("broker 4 installs what it has (%s)", method)
		}
		return nil
	})
	n.restart()
	c.finish()
	l.check()
}

// A move is turned back from each phase that allows it. The data goes, the id is not used again, and late requests of a controller that
// was deposed find nobody.
func TestCancelledMoveLeavesNothing(t *testing.T) {
	for _, at := range []placement.Phase{placement.PhaseInstalling, placement.PhaseLearner, placement.PhaseCaughtUp} {
		t.Run(string(at), func(t *testing.T) {
			c, l, release := installing(t)
			old := c.state()
			added := c.on(4)
			if at != placement.PhaseInstalling {
				close(release)
				c.reach(at)
			}
			c.apply(placement.CancelMove{TopicID: c.state().Topics["t"].ID, Move: c.part().Move.ID})
			if at == placement.PhaseInstalling {
				c.eventually("nothing is received any more", func() (bool, string) {
					i := c.install(4)
					return i.State == ask.InstallWaiting, fmt.Sprintf("%+v", i)
				})
			}
			err := c.change(ask.ChangeRequest{Kind: ask.AddLearner, Replica: added, Broker: 4})
			if !isReason(err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE) {
				t.Fatalf("a learner of a cancelled move is added: %v", err)
			}
			c.finish()
			err = c.change(ask.ChangeRequest{Kind: ask.AddLearner, Replica: added, Broker: 4})
			if !isReason(err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE) {
				t.Fatalf("a learner of a move that is over is added: %v", err)
			}
			n := c.node(4)
			if h := n.holds(); len(h) != 0 {
				t.Fatalf("broker 4 holds %v", h)
			}
			// It starts again and first sees the state in which it was to install the replica.
			c.setGate(func(_ context.Context, from, _ int32, method string) error {
				if from == 4 && strings.HasPrefix(method, "ship.") {
					t.Errorf("broker 4 asks for a log that it deleted (%s)", method)
				}
				return nil
			})
			c.withhold(4, true)
			n.restart()
			n.agent.Update(old)
			c.eventually("the old state is taken up", func() (bool, string) {
				r := c.ask(n, ask.StatusRequest{Installs: []uint64{added}})
				return strings.Contains(r.Installs[added].Err, "waiting for the newer one"), fmt.Sprintf("%+v", r)
			})
			c.withhold(4, false)
			c.eventually("the new state is taken up", func() (bool, string) {
				r := c.ask(n, ask.StatusRequest{Installs: []uint64{added}})
				return len(r.Installs) == 0 && r.Revision == c.state().Revision, fmt.Sprintf("%+v", r)
			})
			if h := n.holds(); len(h) != 0 {
				t.Fatalf("broker 4 holds %v again", h)
			}
			l.check()
		})
	}
}

func TestTopicIsDeletedWhileAReplicaIsInstalled(t *testing.T) {
	c, l, _ := installing(t)
	l.stop()
	c.apply(placement.DeleteTopic{Name: "t"})
	c.eventually("tombstones answered", func() (bool, string) {
		left := len(c.state().Tombstones)
		return left == 0, fmt.Sprintf("%d left", left)
	})
	for _, n := range c.all() {
		if h := n.holds(); len(h) != 0 {
			t.Errorf("broker %d holds %v", n.id, h)
		}
	}
}
