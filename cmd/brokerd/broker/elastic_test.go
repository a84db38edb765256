package broker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const never = time.Hour // longer than any test

func TestANewBrokerIsFilledByItself(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	cl := dial(t, c)
	create(t, cl, "orders", 12, 3)
	produce(t, cl, "orders", 0, 2000)
	f := startFlow(t, cl, "orders", 2000)
	added := c.Add()
	c.WaitReady()
	p := settle(t, c, cl, filled(c.Broker(added).ID()))
	if got := p.on(c.Broker(added).ID()); got != 9 {
		t.Errorf("the new broker holds %d replicas, its share of 36 is 9", got)
	}
	n := f.end()
	wantEach(t, readAll(t, cl, "orders"), n)
}

func TestADeadBrokersReplicasAreMadeAnew(t *testing.T) {
	t.Parallel()
	c := elastic(t, 4, time.Second)
	cl := dial(t, c)
	create(t, cl, "orders", 12, 3)
	produce(t, cl, "orders", 0, 2000)
	f := startFlow(t, cl, "orders", 2000)
	dead := c.Broker(2).ID()
	c.Crash(2)
	settle(t, c, cl, empty(dead))
	remove(t, c, cl, dead)
	n := f.end()
	wantEach(t, readAll(t, cl, "orders"), n)
}

func TestABrokerThatComesBackInTimeKeepsItsReplicas(t *testing.T) {
	t.Parallel()
	c := elastic(t, 4, never)
	cl := dial(t, c)
	create(t, cl, "orders", 12, 3)
	before := settle(t, c, cl, nil)
	f := startFlow(t, cl, "orders", 0)
	c.Crash(2)
	produce(t, cl, "orders", 1_000_000, 500)
	// The controller has missed it, and leaves its replicas where they are.
	var why string
	c.Eventually(func() bool {
		p, err := look(t, cl)
		if err != nil {
			why = err.Error()
			return false
		}
		if n := len(p.plan.GetMoves()) + len(p.plan.GetUnderWay()); n > 0 {
			t.Fatalf("%d moves for a broker that is silent for a moment: %v %v", n, p.plan.GetMoves(), p.plan.GetUnderWay())
		}
		why = says(p, "and keeps its replicas until")
		return why == ""
	}, func() string { return why })
	c.Restart(2)
	c.WaitReady()
	after := settle(t, c, cl, nil)
	for n, part := range before.topics["orders"].GetPartitions() {
		got := slices.Clone(after.topics["orders"].GetPartitions()[n].GetReplicas())
		want := slices.Clone(part.GetReplicas())
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("partition %d moved from brokers %v to %v", n, want, got)
		}
	}
	sent := f.end() + 500
	if got := readAll(t, cl, "orders"); len(got) != sent {
		t.Errorf("%d different records, want %d", len(got), sent)
	}
}

func TestRule19AWipedDiskComesBackAsANewBroker(t *testing.T) {
	t.Parallel()
	c := elastic(t, 4, time.Second)
	cl := dial(t, c)
	create(t, cl, "orders", 12, 3)
	produce(t, cl, "orders", 0, 2000)
	f := startFlow(t, cl, "orders", 2000)
	old := c.Broker(2).ID()
	c.Crash(2)
	c.Wipe(2)
	c.Restart(2)
	c.WaitReady()
	now := c.Broker(2).ID()
	if now == old || now == 0 {
		t.Fatalf("the empty disk came back as broker %d, it was %d", now, old)
	}
	settle(t, c, cl, func(p *placed) string { return empty(old)(p) + filled(now)(p) })
	remove(t, c, cl, old)
	n := f.end()
	wantEach(t, readAll(t, cl, "orders"), n)
}

func TestADrainedBrokerIsEmptiedAndRemoved(t *testing.T) {
	t.Parallel()
	c := elastic(t, 4, never)
	cl := dial(t, c)
	create(t, cl, "orders", 12, 3)
	produce(t, cl, "orders", 0, 2000)
	f := startFlow(t, cl, "orders", 2000)
	id := c.Broker(2).ID()
	if _, err := cl.Admin().DrainBroker(patient(t), &runnelv1.DrainBrokerRequest{Broker: id}); err != nil {
		t.Fatal(err)
	}
	settle(t, c, cl, empty(id))
	remove(t, c, cl, id)
	c.StopBroker(2)
	n := f.end()
	wantEach(t, readAll(t, cl, "orders"), n)
}

func TestADrainThatCannotEndSaysWhy(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	cl := dial(t, c)
	create(t, cl, "orders", 3, 3)
	if _, err := cl.Admin().DrainBroker(patient(t), &runnelv1.DrainBrokerRequest{Broker: 2}); err != nil {
		t.Fatal(err)
	}
	var why []*runnelv1.BlockedChange
	c.Eventually(func() bool {
		d, err := cl.Admin().DescribeDrain(patient(t), &runnelv1.DescribeDrainRequest{Broker: 2})
		if err != nil {
			return false
		}
		why = d.GetDrain().GetBlocked()
		return len(why) == 3
	}, func() string { return fmt.Sprintf("blocked: %v", why) })
	if !strings.Contains(why[0].GetReason(), "replication factor 3") {
		t.Errorf("the reason is %q", why[0].GetReason())
	}
	if _, err := cl.Admin().RemoveBroker(patient(t), &runnelv1.RemoveBrokerRequest{Broker: 2}); err == nil {
		t.Error("a broker with replicas was removed")
	}
	if _, err := cl.Admin().UndrainBroker(patient(t), &runnelv1.UndrainBrokerRequest{Broker: 2}); err != nil {
		t.Fatal(err)
	}
	settle(t, c, cl, filled(2))
}

func TestAMoveIsCancelled(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never, brokertest.Edit(func(_ int, c *broker.Config) { c.ManualPlacement = true }))
	cl := dial(t, c)
	create(t, cl, "orders", 1, 3)
	produce(t, cl, "orders", 0, 5000)
	c.Add()
	c.WaitReady() // it has the controller's log, which is shipped as well
	c.StopBroker(4)
	c.Edit(4, func(cfg *broker.Config) { cfg.RecoveryRate = 1 }) // so slow that the move stays where it is
	c.Restart(4)
	c.WaitReady()
	before := partitionOf(t, cl, "orders", 0).GetReplicas()
	to := slices.Clone(before)
	to[2] = c.Broker(4).ID()
	if _, err := cl.Admin().MovePartition(patient(t), &runnelv1.MovePartitionRequest{Topic: "orders", Brokers: to}); err != nil {
		t.Fatal(err)
	}
	phase := func() string { return partitionOf(t, cl, "orders", 0).GetMove().GetPhase() }
	c.Eventually(func() bool { return phase() == "installing" }, phase)
	if _, err := cl.Admin().CancelMove(patient(t), &runnelv1.CancelMoveRequest{Topic: "orders"}); err != nil {
		t.Fatal(err)
	}
	c.Eventually(func() bool { return partitionOf(t, cl, "orders", 0).GetMove() == nil }, phase)
	if after := partitionOf(t, cl, "orders", 0); !slices.Equal(after.GetReplicas(), before) {
		t.Errorf("the replicas are on %v, they were on %v", after.GetReplicas(), before)
	}
	replicas := filepath.Join(c.Config(4).DataDir, "replicas")
	c.Eventually(func() bool { return folders(replicas) <= 1 }, func() string { return "the half installed replica is left on the disk" })
	wantEach(t, readAll(t, cl, "orders"), 5000)
}

// folders counts those of a broker's replicas, the controller's included.
func folders(dir string) (n int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if e.IsDir() {
			n++
		}
	}
	return n
}
