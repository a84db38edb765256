package proc

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

func text(l left) string {
	return fmt.Sprintf(`runnel_controller_applied_topics %v
runnel_controller_tombstones %v
runnel_agent_replicas{state="running"} %v
runnel_agent_replicas{state="deleting"} %v
`, l.topics, l.tombstones, l.running, l.deleting)
}

// answering is a broker whose /metrics are what answer gives to the nth question, from 1.
func answering(t *testing.T, number int, answer func(n int64) string) *Broker {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer(n.Add(1))) }))
	t.Cleanup(s.Close)
	return &Broker{Number: number, HTTP: strings.TrimPrefix(s.URL, "http://"), cmd: &exec.Cmd{}}
}

func TestSettledWaitsForEachKindOfRest(t *testing.T) {
	done := text(left{topics: 2})
	for name, busy := range map[string]left{
		"a topic that a broker still knows": {topics: 3},
		"a replica that nobody reported":    {topics: 2, tombstones: 1},
		"a replica that is being deleted":   {topics: 2, deleting: 1},
		"a topic that a broker lacks":       {topics: 1},
	} {
		var asked atomic.Int64
		c := &Cluster{Brokers: []*Broker{
			answering(t, 1, func(int64) string { return done }),
			answering(t, 2, func(n int64) string {
				asked.Store(n)
				if n < 3 {
					return text(busy)
				}
				return done
			}),
		}}
		if err := c.Settled(t.Context(), 2); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := asked.Load(); n != 3 {
			t.Errorf("%s: settled after %d questions, want 3", name, n)
		}
	}
}

func TestOpenedWaitsForEachBroker(t *testing.T) {
	var asked atomic.Int64
	c := &Cluster{Brokers: []*Broker{
		answering(t, 1, func(int64) string { return text(left{running: 40}) }),
		answering(t, 2, func(n int64) string {
			asked.Store(n)
			return text(left{running: float64(37 + n)})
		}),
	}}
	if err := c.Opened(t.Context(), 40); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("opened after %d questions, want 3", n)
	}
}

func TestSettledSaysWhoIsNotDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	busy := answering(t, 2, func(n int64) string {
		if n == 2 {
			cancel()
		}
		return text(left{topics: 1, tombstones: 36, deleting: 12})
	})
	c := &Cluster{Brokers: []*Broker{busy, {Number: 3}}} // broker 3 does not run
	err := c.Settled(ctx, 0)
	if err == nil {
		t.Fatal("settled, and 12 replicas are being deleted")
	}
	for _, want := range []string{"broker 2", "12 replicas", "1 topics", "36 deleted replicas"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not tell %q", err, want)
		}
	}
}

func TestARestThatIsNotToldIsAnError(t *testing.T) {
	for name := range leftovers {
		gone := strings.ReplaceAll(text(left{}), name, "other")
		if _, err := parseLeft(strings.NewReader(gone)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
