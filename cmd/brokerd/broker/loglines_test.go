package broker_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

// lines keeps what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.b.String(), "\n"), "\n")
}

// keys lists the keys of a JSON object as they stand, twice if they are there twice.
func keys(line string) (out []string, err error) {
	d := json.NewDecoder(strings.NewReader(line))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		out = append(out, k.(string))
	}
	_, err = d.Token()
	return out, err
}

// One event is one line, which a machine can read and a person can place: its part of the broker, and each thing said once.
func TestEachEventIsOneLineOfJSON(t *testing.T) {
	t.Parallel()
	out := &lines{}
	c := elastic(t, 3, never, brokertest.Edit(func(_ int, c *broker.Config) {
		c.Log = slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}))
	cl := dial(t, c)
	create(t, cl, "orders", 3, 3)
	produce(t, cl, "orders", 0, 100)
	c.Crash(2)
	produce(t, cl, "orders", 100, 100)
	c.Restart(2)
	c.WaitReady()
	c.StopBroker(3)
	n := 0
	for _, line := range out.all() {
		ks, err := keys(line)
		if err != nil {
			t.Fatalf("no line of JSON: %q: %v", line, err)
		}
		seen := map[string]bool{}
		for _, k := range ks {
			if seen[k] {
				t.Errorf("%q is there twice: %s", k, line)
			}
			seen[k] = true
		}
		for _, k := range []string{"time", "level", "msg", "component"} {
			if !seen[k] {
				t.Errorf("no %q: %s", k, line)
			}
		}
		n++
	}
	if n < 50 {
		t.Errorf("only %d lines: the test sees too little", n)
	}
}
