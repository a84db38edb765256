package broker_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Brokers are drained by turns, so that moves are under way all the time, while one after the other crashes and comes back: sources,
// targets, leaders and the controller, at any step of a move.
func TestMovesGoOnAfterCrashesOfAnyParty(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some twenty seconds")
	}
	c := elastic(t, 5, never, brokertest.Edit(func(_ int, c *broker.Config) { c.RecoveryRate = 4 << 20 }))
	cl := dial(t, c)
	create(t, cl, "orders", 12, 3)
	produce(t, cl, "orders", 0, 20_000)
	settle(t, c, cl, nil)
	f := startFlow(t, cl, "orders", 20_000)
	rnd := rand.New(rand.NewPCG(7, 7))
	for round := range 8 {
		id := int32(1 + round%5)
		if _, err := cl.Admin().DrainBroker(patient(t), &runnelv1.DrainBrokerRequest{Broker: id}); err != nil {
			t.Fatal(err)
		}
		c.Eventually(func() bool {
			p, err := look(t, cl)
			return err == nil && (len(p.plan.GetUnderWay()) > 0 || p.on(id) == 0)
		}, func() string { return "the drain begins no move" })
		wait := time.NewTimer(time.Duration(rnd.IntN(400)) * time.Millisecond)
		<-wait.C
		victim := 1 + rnd.IntN(5)
		c.Crash(victim)
		c.Restart(victim)
		if _, err := cl.Admin().UndrainBroker(patient(t), &runnelv1.UndrainBrokerRequest{Broker: id}); err != nil {
			t.Fatal(err)
		}
		c.WaitReady()
	}
	p := settle(t, c, cl, nil)
	for _, part := range p.topics["orders"].GetPartitions() {
		if on := part.GetReplicas(); len(on) != 3 || len(slices.Compact(slices.Sorted(slices.Values(on)))) != 3 {
			t.Errorf("partition %d is on brokers %v", part.GetPartition(), on)
		}
	}
	n := f.end()
	wantEach(t, readAll(t, cl, "orders"), n)
}
