package broker_test

import (
	"testing"

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
