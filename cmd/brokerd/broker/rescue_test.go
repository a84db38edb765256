package broker_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/cmd/brokerd/rescue"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// recoverController recovers the controller group on a broker that does not run, as the command does.
func recoverController(t *testing.T, c *brokertest.Cluster, n int) *rescue.Report {
	t.Helper()
	f, err := rescue.Open(c.Config(n).DataDir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Look()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Recover(r, "the test"); err != nil {
		t.Fatal(err)
	}
	if again, err := f.Look(); err != nil || !again.Alone() || f.Recover(again, "") == nil {
		t.Errorf("recovered, it is %+v (%v), and can be recovered once more", again, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

// leads waits until a broker is the controller.
func leads(t *testing.T, c *brokertest.Cluster, n int) {
	t.Helper()
	var last error
	c.Eventually(func() bool {
		_, last = c.Broker(n).Do(patient(t), controller.RegisterBroker{Broker: c.Broker(n).Registration()})
		return last == nil && c.Broker(n).Own().Status().Session
	}, func() string { return fmt.Sprintf("broker %d leads the controller group: %v", n, last) })
}

// recoverPartitions has each partition of a topic that has no majority go on with what a broker has.
func recoverPartitions(t *testing.T, c *brokertest.Cluster, cl *client.Client, topic string, n int32, keep int32) {
	t.Helper()
	for i := range n {
		ask := &runnelv1.RecoverPartitionRequest{Topic: topic, Partition: i, Keep: keep}
		var told *runnelv1.RecoverPartitionResponse
		var last error
		c.Eventually(func() bool {
			ask.AcceptDataLoss, ask.Lost = false, nil
			if told, last = cl.Admin().RecoverPartition(patient(t), ask); last != nil {
				return false
			}
			ask.AcceptDataLoss = true
			for _, r := range told.GetLost() {
				ask.Lost = append(ask.Lost, r.GetReplica())
			}
			_, last = cl.Admin().RecoverPartition(patient(t), ask)
			return last == nil
		}, func() string { return last.Error() })
	}
}

func TestAControllerWhoseMajorityIsDestroyedGoesOnByHand(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some ten seconds")
	}
	c := elastic(t, 3, time.Second)
	settled(t, c, 3, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 4, 3)
	produce(t, cl, "orders", 0, 1000)
	gone, kept := []int32{c.Broker(1).ID(), c.Broker(2).ID()}, c.Broker(3).ID()
	if _, err := rescue.Open(c.Config(3).DataDir, slog.New(slog.DiscardHandler)); !errors.Is(err, raftlog.ErrInUse) {
		t.Fatalf("the folder of a broker that runs is opened: %v", err)
	}
	for n := 1; n <= 3; n++ {
		c.Crash(n)
	}
	c.Wipe(1)
	c.Wipe(2)
	before := recoverController(t, c, 3)
	if len(before.Others) != 2 || !before.Others[0].Votes || !before.Others[1].Votes || before.State.Topics["orders"] == nil {
		t.Errorf("before, it knew of %+v", before.Others)
	}
	c.Restart(3)
	leads(t, c, 3)
	recoverPartitions(t, c, cl, "orders", 4, kept)
	c.Add()
	c.Add()
	c.WaitReady()
	settle(t, c, cl, func(p *placed) string {
		if n := voting(c.Broker(3)); n != 3 {
			return fmt.Sprintf("%d vote in the controller group", n)
		}
		for _, part := range p.topics["orders"].GetPartitions() {
			if n := len(part.GetReplicas()); n != 3 {
				return fmt.Sprintf("partition %d has %d replicas", part.GetPartition(), n)
			}
		}
		return empty(gone[0])(p) + empty(gone[1])(p)
	})
	for _, id := range gone {
		remove(t, c, cl, id)
	}
	produce(t, cl, "orders", 1000, 1000)
	got := readAll(t, cl, "orders")
	for i := 1000; i < 2000; i++ {
		if n := got[fmt.Sprint("value-", i)]; n != 1 {
			t.Fatalf("record %d, sent after the recovery, is there %d times", i, n)
		}
	}
	for value, n := range got {
		if n != 1 {
			t.Errorf("%s is there %d times", value, n)
		}
	}
	// Nothing that was given by commands which are lost may be given again.
	for _, n := range []int{4, 5} {
		if id := c.Broker(n).ID(); id < 1000 {
			t.Errorf("a broker that joined after the recovery has the id %d", id)
		}
	}
	c.Crash(4) // the group is whole again
	works(t, c, "later", 2)
}

// wantOneController wants all brokers to know one group, without any of the lost replicas.
func wantOneController(t *testing.T, c *brokertest.Cluster, lost []uint64) {
	t.Helper()
	settled(t, c, 3, 3)
	want := c.Broker(3).State().ControllerRecoveries
	for n := 1; n <= 3; n++ {
		c.Eventually(func() bool { return len(c.Broker(n).State().ControllerRecoveries) == 1 }, func() string { return "it knows of the recovery" })
		if own, _, _ := ownLog(t, c, n); slices.Contains(lost, own) {
			t.Errorf("broker %d goes on with replica %d, which was given up", n, own)
		}
	}
	if len(want) != 1 || want[0].Kept == 0 {
		t.Errorf("the recoveries are %+v", want)
	}
	works(t, c, "later", 3)
}

func lostOf(r *rescue.Report) (ids []uint64) {
	for _, m := range r.Others {
		ids = append(ids, m.Replica)
	}
	return ids
}

func TestLostControllerReplicasThatComeBackGetSuccessors(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	settled(t, c, 3, 3)
	works(t, c, "orders", 3)
	for n := 1; n <= 3; n++ {
		c.Crash(n)
	}
	lost := lostOf(recoverController(t, c, 3))
	c.Restart(3)
	leads(t, c, 3)
	// Together they would be a majority of the group that was given up.
	c.Restart(1)
	c.Restart(2)
	for n := 1; n <= 2; n++ {
		if first, _, _ := ownLog(t, c, n); slices.Contains(lost, first) {
			t.Errorf("broker %d started replica %d, which was given up", n, first)
		}
	}
	wantOneController(t, c, lost)
	// It stays so when all start anew.
	for n := 1; n <= 3; n++ {
		c.Crash(n)
	}
	for n := 1; n <= 3; n++ {
		c.Restart(n)
	}
	settled(t, c, 3, 3)
}

// The operator gave up replicas that run: until their brokers are told there are two controllers, and after it one.
func TestAnOldControllerGroupEndsWhenItMeetsTheRecoveredOne(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	settled(t, c, 3, 3)
	works(t, c, "orders", 3)
	c.Crash(3)
	lost := lostOf(recoverController(t, c, 3))
	works(t, c, "meanwhile", 2) // known to the old group alone
	c.Restart(3)
	leads(t, c, 3)
	wantOneController(t, c, lost)
	if s := c.Broker(1).State(); s.Topics["meanwhile"] != nil || s.Topics["orders"] == nil {
		t.Error("what the old group did on its own is not given up")
	}
}

// The log that is left lacks a topic and a move. What they did to disks is not undone, and no record of what the log does know is lost.
func TestACommandsLossCostsOnlyWhatItSaid(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some twenty seconds")
	}
	t.Run("the old replica's data was deleted", func(t *testing.T) { loseCommands(t, false) })
	t.Run("the old replica was away", func(t *testing.T) { loseCommands(t, true) })
}

// loseCommands loses a move and a new topic. If away, the broker that loses its replica by the move is down by then.
func loseCommands(t *testing.T, away bool) {
	c := elastic(t, 5, never, brokertest.Edit(func(_ int, c *broker.Config) { c.ManualPlacement = true }))
	settled(t, c, 5, 5)
	cl := dial(t, c)
	create(t, cl, "orders", 1, 3)
	produce(t, cl, "orders", 0, 1000)
	before := partitionOf(t, cl, "orders", 0).GetReplicas()
	var free []int32 // the brokers that do not have it; the last one keeps the log
	for id := range c.Broker(1).State().Brokers {
		if !slices.Contains(before, id) {
			free = append(free, id)
		}
	}
	kept := c.ByID(free[1])
	c.Crash(kept)
	if away {
		c.Crash(c.ByID(before[2]))
	}
	move(t, c, cl, []int32{before[0], before[1], free[0]})
	create(t, cl, "later", 1, 3)
	produce(t, cl, "later", 0, 100)
	for n := 1; n <= 5; n++ {
		if c.Broker(n) != nil {
			c.Crash(n)
		}
		c.Edit(n, func(cfg *broker.Config) { cfg.ManualPlacement = false })
	}
	recoverController(t, c, kept)
	c.Restart(kept)
	leads(t, c, kept)
	for n := 1; n <= 5; n++ {
		if n != kept {
			c.Restart(n)
		}
	}
	settled(t, c, 5, 5)
	p := settle(t, c, cl, nil)
	if p.topics["later"] != nil {
		t.Error("a topic is there that the log does not know")
	}
	produce(t, cl, "orders", 1000, 100)
	wantEach(t, readAll(t, cl, "orders"), 1100)
	// It has three replicas again that count: it bears the loss of any.
	on := partitionOf(t, cl, "orders", 0).GetReplicas()
	c.Crash(c.ByID(on[0]))
	produce(t, cl, "orders", 1100, 100)
	wantEach(t, readAll(t, cl, "orders"), 1200)
}
