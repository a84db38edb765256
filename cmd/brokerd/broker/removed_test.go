package broker_test

import (
	"context"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// takeAway drains a broker and removes it, on condition that it holds nothing.
func takeAway(t *testing.T, c *brokertest.Cluster, id int32) {
	t.Helper()
	cl := dial(t, c)
	if _, err := cl.Admin().DrainBroker(patient(t), &runnelv1.DrainBrokerRequest{Broker: id}); err != nil {
		t.Fatal(err)
	}
	settle(t, c, cl, empty(id))
	remove(t, c, cl, id)
}

// wantRemoved waits until a broker ends itself since it was removed, and wants it to say what to do.
func wantRemoved(t *testing.T, b *broker.Broker, dir string) {
	t.Helper()
	err := b.Wait(patient(t))
	if !broker.IsRemoved(err) {
		t.Fatalf("a removed broker goes on, or ends for another reason: %v", err)
	}
	for _, word := range []string{"is no member of cluster", "another, empty data folder", dir} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("it ends with %q, which lacks %q", err, word)
		}
	}
}

// Clients that know only the removed broker have to learn that it has nothing to say.
func wantRefused(t *testing.T, addr string) {
	t.Helper()
	md, err := rawDial(t, addr).Metadata(patient(t), &runnelv1.MetadataRequest{})
	if err == nil {
		t.Errorf("a removed broker tells a client of brokers %v", md.GetBrokers())
	}
}

func TestARemovedBrokerStopsServingAndSaysHowToJoinAnew(t *testing.T) {
	t.Parallel()
	c := elastic(t, 4, never)
	id := c.Broker(4).ID()
	cl := dial(t, c)
	create(t, cl, "orders", 6, 3)
	takeAway(t, c, id)
	wantRemoved(t, c.Broker(4), c.Config(4).DataDir)
	wantRefused(t, c.Config(4).Listen)
	// The same host, with another folder, is a new broker.
	c.StopBroker(4)
	c.Edit(4, func(cfg *broker.Config) { cfg.DataDir += "-new" })
	c.Restart(4)
	settled(t, c, 4, 3)
	if now := c.Broker(4).ID(); now == id {
		t.Errorf("it is broker %d again", now)
	}
	settle(t, c, cl, filled(c.Broker(4).ID()))
}

func TestABrokerThatWasRemovedWhileItWasDownEndsAtItsStart(t *testing.T) {
	t.Parallel()
	c := elastic(t, 4, never)
	id := c.Broker(4).ID()
	settled(t, c, 4, 3)
	c.Crash(4)
	takeAway(t, c, id)
	c.Restart(4)
	wantRemoved(t, c.Broker(4), c.Config(4).DataDir)
	wantRefused(t, c.Config(4).Listen)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.StopBroker(4)
	// As a process it ends with that, and so with a status that is not 0.
	if err := broker.Run(ctx, c.Config(4)); err == nil || !strings.Contains(err.Error(), "another, empty data folder") {
		t.Errorf("the process ends with %v", err)
	}
}

// A broker that hears from nobody is a member, whether it runs or starts, and however often it asks.
func TestABrokerThatIsCutOffGoesOn(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	settled(t, c, 3, 3)
	works(t, c, "orders", 3)
	goesOn := func() {
		t.Helper()
		for range 3 {
			if fatal, err := c.Broker(2).AskedInVain(patient(t)); fatal || err == nil {
				t.Fatalf("asking a controller without a majority ends the broker (%v) or is answered: %v", fatal, err)
			}
		}
		c.Eventually(func() bool {
			md, err := rawDial(t, c.Config(2).Listen).Metadata(patient(t), &runnelv1.MetadataRequest{})
			return err == nil && len(md.GetBrokers()) == 3
		}, func() string { return "it serves clients" })
		if err := c.Broker(2).Failed(); err != nil {
			t.Fatalf("a broker that is cut off ends: %v", err)
		}
	}
	c.Crash(1)
	c.Crash(3)
	goesOn()
	c.Crash(2)
	c.Restart(2)
	goesOn()
	c.Restart(1)
	c.Restart(3)
	settled(t, c, 3, 3)
	works(t, c, "later", 3)
}
