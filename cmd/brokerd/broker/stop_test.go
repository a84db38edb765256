package broker_test

import (
	"net"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

// Whoever leads the controller group next must know before, and every leader that hands something over.
func TestABrokerThatLeadsTheControllerTellsAllOthersThatItStops(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	c.WaitReady()
	var leads, others []int
	c.Eventually(func() bool {
		leads, others = nil, nil
		for n := 1; n <= c.Size(); n++ {
			if c.Broker(n).LeadsController() {
				leads = append(leads, n)
			} else {
				others = append(others, n)
			}
		}
		return len(leads) == 1
	}, func() string { return "no broker leads the controller group" })
	b := c.Broker(leads[0])
	c.Eventually(func() bool {
		b.SayLeaving(patient(t))
		return c.Broker(others[0]).Leaves(b.ID()) && c.Broker(others[1]).Leaves(b.ID())
	}, func() string { return "not all others know that the controller's leader stops" })
}

func TestAConnectionThatSaysNothingDelaysNoStop(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(brokertest.Lone(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", b.Addresses().Client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != nil { // gRPC speaks first, and waits then
		t.Fatal(err)
	}
	began := time.Now()
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it stopped after %v", d)
	}
}
