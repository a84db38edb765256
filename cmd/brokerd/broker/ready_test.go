package broker_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

// A rolling update that waits for /readyz?replicated must not go on while this broker is all that some partition has beside the next one.
func TestReplicatedWaitsForTheOthersOnceAndOnlyOnce(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	cl := dial(t, c)
	create(t, cl, "orders", 3, 3)
	produce(t, cl, "orders", 0, 100)
	says := func(n, status int, path, text string) {
		t.Helper()
		var got int
		var body string
		c.Eventually(func() bool {
			got, body = get(t, c, n, path)
			return got == status && strings.Contains(body, text)
		}, func() string { return path + " of broker says " + body })
	}
	says(1, http.StatusOK, "/readyz?replicated", "ok")
	dead := c.Broker(2).ID()
	c.Crash(2)
	c.Crash(1)
	c.Restart(1)
	says(1, http.StatusOK, "/readyz", "ok")
	says(1, http.StatusServiceUnavailable, "/readyz?replicated", "3 partitions with a replica here lack a replica or a leader, such as orders/0: broker ")
	if status, body := get(t, c, 1, "/readyz"); status != http.StatusOK {
		t.Errorf("another broker's death took this one out of service (rule 28): %d %s", status, body)
	}
	c.Restart(2)
	says(1, http.StatusOK, "/readyz?replicated", "ok")
	c.Crash(c.ByID(dead))
	says(1, http.StatusOK, "/readyz?replicated", "ok")
	if err := c.Broker(1).Replicated(context.Background()); err != nil {
		t.Errorf("not sticky: %v", err)
	}
}

func TestReadyzSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	cfg := brokertest.Lone(t)
	host := strings.TrimSuffix(cfg.GossipListen, ":7072")
	missing := strings.TrimSuffix(host, ".1") + ".2:7072"
	cfg.Seeds = []string{cfg.GossipListen, missing} // which is never there
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	}()
	var body string
	brokertest.Eventually(t, func() bool {
		var status int
		status, body = ask(t, "http://"+cfg.HTTPListen+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, missing) && strings.Count(body, "\n") == 1
	}, func() string { return "/readyz says " + body })
}
