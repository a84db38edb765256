// Package brokertest starts whole clusters in one process, for tests: real brokers with real disks and sockets, each on a
// loopback address of its own, so that a broker finds its ports free when it starts again.
package brokertest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
)

// patience bounds every wait of a test; a healthy wait is a thousand times shorter.
const patience = 60 * time.Second

// Cluster is a set of brokers in this process.
type Cluster struct {
	t       testing.TB
	dir     string
	hosts   string // "127.a.b."
	edit    []func(n int, c *broker.Config)
	certs   string // folder of certificates; "" without TLS
	log     *slog.Logger
	mu      sync.Mutex
	brokers map[int]*broker.Broker // running ones, by number from 1
	configs map[int]broker.Config
}

// Option changes a cluster before it starts.
type Option func(*Cluster)

// Edit changes each broker's configuration; n counts from 1.
func Edit(f func(n int, c *broker.Config)) Option {
	return func(c *Cluster) { c.edit = append(c.edit, f) }
}

// Start runs n brokers and waits until each is ready. The test's end stops them and removes their folders.
func Start(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	c := &Cluster{
		t: t, dir: t.TempDir(), hosts: hosts(),
		brokers: map[int]*broker.Broker{}, configs: map[int]broker.Config{}, log: logger(t),
	}
	for _, o := range opts {
		o(c)
	}
	t.Cleanup(c.stop)
	for i := 1; i <= n; i++ {
		c.configs[i] = c.config(i, n)
		c.start(i)
	}
	c.WaitReady()
	return c
}

// logger keeps the brokers' logs for a failing test only; RUNNEL_TEST_LOG=1 prints them as they come.
func logger(t testing.TB) *slog.Logger {
	if os.Getenv("RUNNEL_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var mu sync.Mutex
	var kept strings.Builder
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if text := kept.String(); t.Failed() && text != "" {
			t.Logf("the brokers' logs, the last of them:\n%s", text[max(0, len(text)-64<<10):])
		}
	})
	return slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return kept.Write(p)
	}), nil))
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func (c *Cluster) config(i, n int) broker.Config {
	host := fmt.Sprintf("%s%d", c.hosts, i)
	cfg := broker.Config{
		DataDir: filepath.Join(c.dir, fmt.Sprintf("broker-%d", i)),
		Listen:  host + ":7070", PeerListen: host + ":7071", GossipListen: host + ":7072", HTTPListen: host + ":7073",
		Log: c.log.With("broker", i), TailBytes: 32 << 20,
	}
	if n > 1 {
		for j := 1; j <= n; j++ {
			cfg.Seeds = append(cfg.Seeds, fmt.Sprintf("%s%d:7072", c.hosts, j))
		}
	}
	for _, f := range c.edit {
		f(i, &cfg)
	}
	return cfg
}

func (c *Cluster) start(i int) {
	c.t.Helper()
	b, err := broker.Start(c.configs[i])
	if err != nil {
		c.t.Fatalf("broker %d does not start: %v", i, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brokers[i] = b
}

func (c *Cluster) stop() {
	c.mu.Lock()
	brokers := c.brokers
	c.brokers = map[int]*broker.Broker{}
	c.mu.Unlock()
	var wg sync.WaitGroup
	for i, b := range brokers {
		wg.Go(func() {
			if err := b.Abort(); err != nil {
				c.t.Errorf("broker %d does not stop cleanly: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// Seeds are the client addresses of all brokers, running or not.
func (c *Cluster) Seeds() []string {
	var out []string
	for i := 1; i <= len(c.configs); i++ {
		out = append(out, c.configs[i].Listen)
	}
	return out
}

// Config is what broker n is started with.
func (c *Cluster) Config(n int) broker.Config { return c.configs[n] }

// Broker is the running broker n, nil if it does not run.
func (c *Cluster) Broker(n int) *broker.Broker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.brokers[n]
}

// ByID finds the running broker with a broker id and answers its number.
func (c *Cluster) ByID(id int32) int {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, b := range c.brokers {
		if b.ID() == id {
			return n
		}
	}
	c.t.Fatalf("no running broker has the id %d", id)
	return 0
}

// StopBroker stops a broker as SIGTERM does.
func (c *Cluster) StopBroker(n int) {
	c.t.Helper()
	if err := c.take(n).Stop(); err != nil {
		c.t.Fatalf("broker %d does not stop cleanly: %v", n, err)
	}
}

// Crash stops a broker without handing anything over. Its files keep what the process had written, as after kill -9.
func (c *Cluster) Crash(n int) {
	c.t.Helper()
	if err := c.take(n).Abort(); err != nil {
		c.t.Fatalf("broker %d: %v", n, err)
	}
}

func (c *Cluster) take(n int) *broker.Broker {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.brokers[n]
	if b == nil {
		c.t.Fatalf("broker %d does not run", n)
	}
	delete(c.brokers, n)
	return b
}

// Restart starts a stopped or crashed broker again, on the same addresses and folder.
func (c *Cluster) Restart(n int) {
	c.t.Helper()
	c.start(n)
}

// Wipe empties the disk of a broker that does not run. It comes back as a new one.
func (c *Cluster) Wipe(n int) {
	c.t.Helper()
	if c.Broker(n) != nil {
		c.t.Fatalf("broker %d runs", n)
	}
	if err := os.RemoveAll(c.configs[n].DataDir); err != nil {
		c.t.Fatal(err)
	}
}

// Size is how many brokers were started, running or not.
func (c *Cluster) Size() int { return len(c.configs) }

// Edit changes what a broker that does not run will be started with.
func (c *Cluster) Edit(n int, f func(*broker.Config)) {
	cfg := c.configs[n]
	f(&cfg)
	c.configs[n] = cfg
}

// TryRestart is Restart for a broker that may be too broken to start; it tells whether it did.
func (c *Cluster) TryRestart(n int) bool {
	c.t.Helper()
	b, err := broker.Start(c.configs[n])
	if err != nil {
		c.t.Logf("broker %d does not start: %v", n, err)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brokers[n] = b
	return true
}

// Formed tells whether the running brokers had belonged to a cluster when they started.
func (c *Cluster) Formed() bool {
	ids := map[int32]bool{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.brokers {
		ids[b.ID()] = true
	}
	return !ids[0] && len(ids) == len(c.brokers)
}

// Add starts one more broker, which joins the others.
func (c *Cluster) Add() int {
	c.t.Helper()
	n := c.Reserve()
	c.start(n)
	return n
}

// Reserve is Add for a broker that Restart starts.
func (c *Cluster) Reserve() int {
	n := len(c.configs) + 1
	cfg := c.config(n, n)
	cfg.Seeds = cfg.Seeds[:n-1]
	c.configs[n] = cfg
	return n
}

// WaitReady waits until each running broker is ready.
func (c *Cluster) WaitReady() {
	c.t.Helper()
	var last error
	c.Eventually(func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for n, b := range c.brokers {
			if err := b.Ready(); err != nil {
				last = fmt.Errorf("broker %d is not ready: %w", n, err)
				return false
			}
		}
		return true
	}, func() string { return last.Error() })
}

// Eventually polls until ok, and fails the test with why after a patience that no healthy run comes near.
func (c *Cluster) Eventually(ok func() bool, why func() string) {
	c.t.Helper()
	Eventually(c.t, ok, why)
}

// Eventually is the same for a test without a cluster.
func Eventually(t testing.TB, ok func() bool, why func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", why())
		case <-tick.C:
		}
	}
}

// Lone is the configuration of a single broker that the test starts itself.
func Lone(t testing.TB) broker.Config {
	t.Helper()
	c := &Cluster{t: t, dir: t.TempDir(), hosts: hosts(), log: logger(t)}
	return c.config(1, 1)
}

func hosts() string { return fmt.Sprintf("127.%d.%d.", 128+rand.IntN(120), 1+rand.IntN(250)) }
