package broker_test

import (
	"fmt"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

// Two of three brokers are down, so the controller has no majority. The third one starts again, with something new to tell the controller: it
// serves the partitions that it has alone, and tells it when the controller is there.
func TestABrokerWithNewsForTheControllerServesWithoutIt(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	settled(t, c, 3, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 6, 1)
	id, alone := c.Broker(3).ID(), int32(-1)
	d, err := look(t, cl)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.topics["orders"].GetPartitions() {
		if p.GetReplicas()[0] == id {
			alone = p.GetPartition()
		}
	}
	if alone < 0 {
		t.Fatalf("broker %d has no partition: %v", id, d.topics["orders"])
	}
	for n := 1; n <= 3; n++ {
		c.Crash(n)
	}
	at := brokertest.Lone(t)
	c.Edit(3, func(cfg *broker.Config) { cfg.Rack, cfg.Listen = "elsewhere", at.Listen })
	c.Restart(3)
	r := rawDial(t, at.Listen)
	why := ""
	c.Eventually(func() bool {
		res, err := r.produceRaw(t, "orders", alone, batch(t, 1, 10))
		why = fmt.Sprintf("a record is taken: %v, error %v; %v", res, err, c.Broker(3).Ready())
		return err == nil && res.GetError() == nil
	}, func() string { return why })
	c.Restart(1)
	c.Restart(2)
	c.WaitReady()
	c.Eventually(func() bool {
		b := c.Broker(1).State().Brokers[id]
		why = fmt.Sprintf("the controller learns of the change: %v", b)
		return b.Rack == "elsewhere" && b.ClientAddr == at.Listen
	}, func() string { return why })
}
