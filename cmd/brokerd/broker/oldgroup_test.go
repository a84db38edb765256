package broker_test

import (
	"slices"
	"testing"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// The old group never heard of a broker that joined after the recovery, and nobody has told its brokers of that yet.
func TestABrokerThatJoinedAfterARecoveryDoesNotObeyTheOldGroup(t *testing.T) {
	c := elastic(t, 3, never)
	settled(t, c, 3, 3)
	for n := 1; n <= 3; n++ {
		c.Crash(n)
	}
	lost := lostOf(recoverController(t, c, 3))
	c.Restart(3)
	leads(t, c, 3)
	c.Add()
	c.WaitReady()
	c.Crash(3)
	c.Crash(4)
	c.Restart(1) // they meet nobody who knows
	c.Restart(2)
	works(t, c, "meanwhile", 2)
	c.Restart(4)
	c.Eventually(func() bool { // it asked the old leader then, too
		_, err := rawDial(t, c.Config(4).Listen).Metadata(patient(t), &runnelv1.MetadataRequest{})
		return err == nil || c.Broker(4).Failed() != nil
	}, func() string { return "it serves clients" })
	for range 3 {
		if fatal, err := c.Broker(4).AskedInVain(patient(t)); fatal || err == nil {
			t.Fatalf("the old group's answer ends the broker (%v) or counts: %v", fatal, err)
		}
	}
	if err := c.Broker(4).Failed(); err != nil {
		t.Fatalf("it ends by the old group's word: %v", err)
	}
	c.Restart(3)
	settled(t, c, 4, 3)
	for n := 1; n <= 2; n++ {
		if own, _, _ := ownLog(t, c, n); slices.Contains(lost, own) {
			t.Errorf("broker %d goes on with replica %d, which was given up", n, own)
		}
	}
	works(t, c, "later", 3)
}
