package broker_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
)

// smallLog has the controller group trim its log after some hundred kilobytes.
func smallLog() brokertest.Option {
	return brokertest.Edit(func(_ int, c *broker.Config) {
		c.ControllerLog = raftlog.LogOptions{SegmentBytes: 16 << 10, KeepSegments: 2}
	})
}

// ownLog is where broker n's controller replica is.
func ownLog(t *testing.T, c *brokertest.Cluster, n int) (replica, first, last uint64) {
	t.Helper()
	c.Eventually(func() bool {
		var err error
		replica, first, last, err = c.Broker(n).OwnLog(patient(t))
		return err == nil
	}, func() string { return "a controller replica that runs" })
	return replica, first, last
}

// trimController writes to the controller's log until those of the brokers begin behind entry. It restarts them before: a log that
// a replica was installed from keeps what followed for a minute.
func trimController(t *testing.T, c *brokertest.Cluster, entry uint64, brokers ...int) {
	t.Helper()
	for _, n := range brokers {
		c.StopBroker(n)
		c.Restart(n)
	}
	reg := c.Broker(brokers[0]).Registration()
	for i := range 400 {
		reg.Rack = fmt.Sprint(strings.Repeat("r", 8<<10), i) // large, and gone with the next one
		if _, err := c.Broker(brokers[0]).Do(patient(t), controller.RegisterBroker{Broker: reg}); err != nil {
			t.Fatal(err)
		}
		done := true
		for _, n := range brokers {
			_, first, _ := ownLog(t, c, n)
			done = done && first > entry
		}
		if done {
			return
		}
	}
	t.Fatal("the controller's log keeps its start")
}

// settled waits until all brokers are ready, know each other and each one's replica of the controller group, and so many vote.
func settled(t *testing.T, c *brokertest.Cluster, brokers, voters int) {
	t.Helper()
	c.WaitReady()
	var why string
	c.Eventually(func() bool {
		for n := range 16 {
			b := c.Broker(n)
			if b == nil {
				continue
			}
			s, votes, own := b.State(), 0, uint64(0)
			for _, r := range s.Controller {
				if !r.Learner {
					votes++
				}
				if r.Broker == b.ID() {
					own = r.ID
				}
			}
			replica, _, _ := ownLog(t, c, n)
			if len(s.Brokers) != brokers || votes != voters || own != replica || own != s.Brokers[b.ID()].ControllerReplica {
				why = fmt.Sprintf("broker %d has replica %d and knows %d brokers and the replicas %v", b.ID(), replica, len(s.Brokers), s.Controller)
				return false
			}
		}
		return true
	}, func() string { return why })
}

// works writes and reads.
func works(t *testing.T, c *brokertest.Cluster, topic string, rf int32) {
	t.Helper()
	cl := dial(t, c)
	create(t, cl, topic, 3, rf)
	produce(t, cl, topic, 0, 100)
	wantEach(t, readAll(t, cl, topic), 100)
}

func TestRule19JoinerIsShippedTheControllersLog(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3, smallLog())
	trimController(t, c, 2, 1, 2, 3)
	n := c.Add()
	settled(t, c, 4, 3)
	if _, first, _ := ownLog(t, c, n); first == 2 {
		t.Error("the joiner replays from the start a log that no member has")
	}
	works(t, c, "wide", 4)
	// What it got is its own: it comes back with it.
	replica, _, _ := ownLog(t, c, n)
	c.Crash(n)
	c.Restart(n)
	settled(t, c, 4, 3)
	if again, _, _ := ownLog(t, c, n); again != replica {
		t.Errorf("replica %d came back as %d", replica, again)
	}
}

// registered leaves the data folder of broker n as a crash does right after the broker was registered.
func registered(t *testing.T, c *brokertest.Cluster, n int, durable bool) (id int32) {
	t.Helper()
	store(t, c, n, func(s *raftlog.Store) {
		var r controller.Response
		ask := controller.RegisterBroker{Broker: placement.Registration{
			Incarnation: s.Identity().Incarnation, PeerAddr: c.Config(n).PeerListen, ClientAddr: c.Config(n).Listen,
		}}
		c.Eventually(func() bool { // the one that leads: another would ask for itself
			for other := 1; other < n; other++ {
				var err error
				if r, err = c.Broker(other).Do(patient(t), ask); err == nil {
					return true
				}
			}
			return false
		}, func() string { return "a leader that registers it" })
		id = r.Broker
		if own := s.Identity(); durable {
			own.ClusterID, own.BrokerID = r.ClusterID, r.Broker
			if err := s.SetIdentity(own); err != nil {
				t.Fatal(err)
			}
		}
	})
	return id
}

func TestJoinerThatCrashedBeforeTheInstallGetsOn(t *testing.T) {
	t.Parallel()
	for name, durable := range map[string]bool{"it knows its id": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			c := brokertest.Start(t, 3, smallLog())
			n := c.Reserve()
			id := registered(t, c, n, durable)
			trimController(t, c, 2, 1, 2, 3)
			c.Restart(n)
			settled(t, c, 4, 3)
			if got := c.Broker(n).ID(); got != id {
				t.Errorf("it was registered as broker %d and came as %d", id, got)
			}
			works(t, c, "wide", 4)
		})
	}
}

func TestJoinersComeWhileTheControllerMoves(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3, smallLog())
	trimController(t, c, 2, 1, 2, 3)
	first := c.ByID(1)
	c.Add()
	c.Add()
	c.StopBroker(first) // it led; whoever asks it is sent on
	c.Restart(first)
	settled(t, c, 5, 5)
	works(t, c, "wide", 5)
}

// A broker is away for so long that the controller's log begins after what it has: it gets another replica, under a new id, and
// serves all the time.
func TestRule19BrokerThatMissedTheControllersLogGetsANewReplica(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3, smallLog())
	cl := dial(t, c)
	create(t, cl, "orders", 3, 3)
	produce(t, cl, "orders", 0, 100)
	old, _, last := ownLog(t, c, 3)
	c.Crash(3)
	trimController(t, c, last+1, 1, 2)
	create(t, cl, "meanwhile", 3, 2)
	c.Restart(3)
	c.Eventually(func() bool { replica, _, _ := ownLog(t, c, 3); return replica != old }, func() string { return "a new replica" })
	settled(t, c, 3, 3)
	c.Eventually(func() bool { return c.Broker(3).State().Topics["meanwhile"] != nil }, func() string { return "the topic made meanwhile" })
	produce(t, cl, "orders", 100, 100)
	wantEach(t, readAll(t, cl, "orders"), 200)
	// The group is whole again: it bears the loss of another member.
	c.Crash(1)
	works(t, c, "later", 2)
	c.Restart(1)
	c.WaitReady()
	// Of the two that it had one is left.
	c.StopBroker(3)
	if held := controllerReplicas(t, c, 3); len(held) != 1 || held[0] == old {
		t.Errorf("the folder holds the replicas %v, the old one is %d", held, old)
	}
}

// store opens the data folder of a broker that does not run.
func store(t *testing.T, c *brokertest.Cluster, n int, f func(*raftlog.Store)) {
	t.Helper()
	e, stop := env.NewReal(env.RealOptions{})
	defer stop()
	s, err := raftlog.Open(raftlog.Options{Dir: c.Config(n).DataDir, Clock: e.Clock})
	if err != nil {
		t.Fatal(err)
	}
	f(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func controllerReplicas(t *testing.T, c *brokertest.Cluster, n int) (ids []uint64) {
	t.Helper()
	store(t, c, n, func(s *raftlog.Store) {
		for _, r := range s.Replicas() {
			if r.Group == placement.ControllerGroup {
				ids = append(ids, r.Replica)
			}
		}
	})
	return ids
}

// What answers at the address of a dead member says nothing about the broker that asks there.
func TestBrokerOutlivesAStrangerAtADeadMembersAddress(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	settled(t, c, 3, 3) // each knows that the others vote
	at := c.Config(3).PeerListen
	c.Crash(3)
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	impostor(t, l, "another", nil)
	c.Crash(1) // broker 2 finds no leader, and asks whom it can
	asked := func() (fatal bool, err error) { return c.Broker(2).AskedInVain(patient(t)) }
	var fatal bool
	c.Eventually(func() bool {
		fatal, err = asked()
		return err != nil && strings.Contains(err.Error(), "to cluster another")
	}, func() string { return fmt.Sprintf("the stranger is asked: %v", err) })
	if fatal {
		t.Errorf("it ends itself: %v", err)
	}
	c.Restart(1)
	works(t, c, "orders", 2)
}

func TestQuarantinedControllerReplicaIsReplaced(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	for _, n := range []int{1, 2} { // the founder's as well
		old, _, _ := ownLog(t, c, n)
		c.Crash(n)
		store(t, c, n, func(s *raftlog.Store) {
			if err := s.Quarantine(placement.ControllerGroup, old, "the test says so"); err != nil {
				t.Fatal(err)
			}
		})
		c.Restart(n)
		settled(t, c, 3, 3)
		if replica, _, _ := ownLog(t, c, n); replica == old {
			t.Fatalf("broker %d goes on with the quarantined replica %d", n, old)
		}
	}
	works(t, c, "orders", 3)
}

// What it takes to be a member is not recovery: a broker joins however slowly its partitions may come, and those of others may go.
func TestJoiningDoesNotWaitForTheRecoveryRate(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3, smallLog(), brokertest.Edit(func(_ int, c *broker.Config) { c.RecoveryRate = 1 }))
	c.Add()
	settled(t, c, 4, 3)
}
