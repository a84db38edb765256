package gossip

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// memberlist's Shutdown does not wait for its own loops: one in the middle of a probe ends with that probe's time-out, which
		// memberlist stretches to eight probe intervals, 4 s here, when the machine is slow.
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).triggerFunc"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).pushPullTrigger"),
	)
}

// patience is how long a test waits for what must happen; it is never a measure.
const patience = 20 * time.Second

// node is a member whose OnChange rings.
type node struct {
	*Gossip
	ring chan struct{}
}

func startNode(t *testing.T, nonce uint64, tweak func(*Config)) *node {
	t.Helper()
	n := &node{ring: make(chan struct{}, 1)}
	c := Config{
		Listen: "127.0.0.1:0", Profile: ProfileLocal, Registerer: prometheus.NewRegistry(), OnChange: func() { signal(n.ring) },
		Meta: Meta{Nonce: nonce, Empty: true, Client: "c:1", Peer: "p:1", HTTP: "h:1", Rack: "r", Version: "test", BootMS: int64(nonce)},
	}
	if tweak != nil {
		tweak(&c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	n.Gossip = g
	t.Cleanup(func() { n.stop(t) })
	return n
}

func (n *node) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// until waits for ok, asked again at each change. So it also proves that changes ring.
func (n *node) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for !ok() {
		select {
		case <-n.ring:
		case <-timeout.C:
			t.Fatalf("waited in vain until %s; members %+v", what, n.Members())
		}
	}
}

func (n *node) sees(count int) func() bool { return func() bool { return len(n.Members()) == count } }

// freePorts finds n addresses to put into a seed list before anyone listens there.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, l.Addr().String())
		defer func() { _ = l.Close() }()
	}
	return out
}

// Three empty brokers with one list, started one after another: none decides before all are there, then exactly the first
// founds, and when it says so the others join it.
func TestRule28ThreeBrokersFoundOnce(t *testing.T) {
	seeds := freePorts(t, 3)
	var nodes []*node
	for i := range seeds {
		for _, n := range nodes {
			if d := n.Decide(); d.Action != Wait || !strings.Contains(d.Reason, seeds[2]) {
				t.Fatalf("with %d of 3: %+v", len(nodes), d)
			}
		}
		nodes = append(nodes, startNode(t, uint64(i+1), func(c *Config) { c.Listen, c.Seeds = seeds[i], seeds }))
	}
	for _, n := range nodes {
		n.until(t, "all see each other", n.sees(3))
	}
	nodes[0].until(t, "the first founds", func() bool { return nodes[0].Decide().Action == Found })
	for _, n := range nodes[1:] {
		n.until(t, "the others wait for the first", func() bool {
			d := n.Decide()
			if d.Action == Found {
				t.Fatal("a second founder")
			}
			return strings.Contains(d.Reason, "waiting for the first one")
		})
	}
	m := nodes[0].Self().Meta
	m.BrokerID, m.ClusterID, m.Empty = 1, "C", false
	if err := nodes[0].SetMeta(m); err != nil {
		t.Fatal(err)
	}
	if nodes[0].Self().ClusterID != "C" {
		t.Fatal("Self is late")
	}
	for _, n := range nodes[1:] {
		n.until(t, "the others join", func() bool {
			d := n.Decide()
			return d.Action == Join && d.ClusterID == "C" && len(d.Via) == 1 && d.Via[0].BrokerID == 1 && d.Via[0].Peer == "p:1"
		})
	}
}

// A seed that starts after the others, and one that restarts under a new boot, are found by rejoining.
func TestSeedsAreRejoined(t *testing.T) {
	seeds := freePorts(t, 1)
	a := startNode(t, 1, func(c *Config) { c.Seeds = seeds })
	b := startNode(t, 2, func(c *Config) { c.Listen, c.Seeds = seeds[0], seeds })
	a.until(t, "the late seed is seen", a.sees(2))
	b.stop(t)
	a.until(t, "its farewell is heard", a.sees(1))
	startNode(t, 3, func(c *Config) { c.Listen, c.Seeds = seeds[0], seeds })
	a.until(t, "the restarted seed is seen", func() bool { m := a.Members(); return len(m) == 2 && m[1].Nonce == 3 })
}

// A seed address that nobody advertises, as behind address translation, is still recognised by the boot nonce that answers
// there, one's own as well as another's.
func TestSeedIsRecognisedByNonce(t *testing.T) {
	ports := freePorts(t, 2)
	seeds := []string{strings.Replace(ports[0], "127.0.0.1", "localhost", 1), ports[1]}
	// Both listen on every address and advertise 127.0.0.2; the seeds name 127.0.0.1.
	one := func(i int) func(*Config) {
		return func(c *Config) {
			_, port, err := net.SplitHostPort(ports[i])
			if err != nil {
				t.Fatal(err)
			}
			c.Listen, c.Advertise, c.Seeds = "0.0.0.0:"+port, "127.0.0.2", seeds
		}
	}
	a, b := startNode(t, 1, one(0)), startNode(t, 2, one(1))
	if !strings.HasPrefix(a.Self().Addr, "127.0.0.2:") {
		t.Fatalf("advertises %s", a.Self().Addr)
	}
	a.until(t, "the first founds", func() bool { return a.Decide().Action == Found })
	b.until(t, "the second waits for it", func() bool { return strings.Contains(b.Decide().Reason, "waiting for the first one") })
}

// Brokers whose gossip protocols differ do not hear each other; neither does noise disturb. The log stays short.
func TestGarbageOnThePortIsSurvived(t *testing.T) {
	var log lockedBuffer
	a := startNode(t, 1, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	addr := a.Self().Addr
	udp, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	for i := range 500 {
		_, _ = udp.Write(append([]byte{244, 7, 'r', 'u', 'n', 'n', 'e', 'l', '1', byte(i)}, bytes.Repeat([]byte{byte(i * 7)}, i)...))
		_, _ = udp.Write(bytes.Repeat([]byte{byte(i)}, 1+i))
	}
	for _, x := range []string{"GET / HTTP/1.1\r\n\r\n", "\xf4\x07runnel1\x06\xff\xff\xff\xff", "\xf4\x07runnel1\xff", "\x00", ""} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(x))
		_ = c.Close()
	}
	startNode(t, 2, func(c *Config) { c.Seeds = []string{addr} })
	a.until(t, "a broker still joins", a.sees(2))
	if n := strings.Count(log.String(), "\n"); n > 200 {
		t.Fatalf("%d log lines", n)
	}
}

// A stranger cannot hold more than a fixed number of connections, nor feed one without end.
func TestStreamsAreBounded(t *testing.T) {
	tr := &transport{open: map[*stream]struct{}{}}
	var open []*stream
	for range maxStreams {
		open = append(open, tr.admit(nopConn{}))
	}
	if tr.admit(nopConn{}) != nil {
		t.Fatal("one too many")
	}
	n, err := io.Copy(io.Discard, struct{ io.Reader }{open[0]})
	if err == nil || n != maxStreamBytes {
		t.Fatalf("%d bytes, %v", n, err)
	}
	_ = open[0].Close()
	if tr.admit(nopConn{}) == nil {
		t.Fatal("no room after one ended")
	}
}

// nopConn reads zeroes for ever.
type nopConn struct{ net.Conn }

func (nopConn) Read(b []byte) (int, error) { return len(b), nil }
func (nopConn) Close() error               { return nil }

func TestStartRefusesBadConfig(t *testing.T) {
	taken := startNode(t, 1, nil).Self().Addr
	for name, c := range map[string]Config{
		"no nonce":       {Listen: "127.0.0.1:0"},
		"seed port":      {Listen: "127.0.0.1:0", Meta: Meta{Nonce: 1}, Seeds: []string{"host"}},
		"seed port 0":    {Listen: "127.0.0.1:0", Meta: Meta{Nonce: 1}, Seeds: []string{"host:0"}},
		"listen":         {Listen: "nowhere", Meta: Meta{Nonce: 1}},
		"port in use":    {Listen: taken, Meta: Meta{Nonce: 1}},
		"long meta":      {Listen: "127.0.0.1:0", Meta: Meta{Nonce: 1, Rack: strings.Repeat("r", 600)}},
		"advertises all": {Listen: "127.0.0.1:0", Advertise: "0.0.0.0:1", Meta: Meta{Nonce: 1}},
	} {
		if g, err := Start(context.Background(), c); err == nil {
			t.Errorf("%s: started as %+v", name, g.Self())
		} else if !strings.HasPrefix(err.Error(), "gossip: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSetMetaKeepsTheNonceAndTheOldMetaOnError(t *testing.T) {
	a := startNode(t, 1, nil)
	m := a.Self().Meta
	m.Nonce = 2
	if a.SetMeta(m) == nil {
		t.Fatal("the nonce changed")
	}
	m.Nonce, m.Rack = 1, strings.Repeat("r", 600)
	if a.SetMeta(m) == nil {
		t.Fatal("a Meta that does not fit was taken")
	}
	if a.Self().Rack != "r" {
		t.Fatalf("now %+v", a.Self())
	}
}

func TestLogLevelsAndBound(t *testing.T) {
	var out lockedBuffer
	now := time.Unix(100, 0)
	b := &bridge{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), now: func() time.Time { return now }}
	fmt.Fprintln(b, "[ERR] memberlist: bad packet")
	fmt.Fprintln(b, "[DEBUG] memberlist: dull")
	if s := out.String(); !strings.Contains(s, `level=WARN msg="bad packet"`) || !strings.Contains(s, "level=DEBUG msg=dull") {
		t.Fatal(s)
	}
	for range 100 {
		fmt.Fprintln(b, "[WARN] memberlist: again")
	}
	if n := strings.Count(out.String(), "again"); n != logsPerSecond-2 {
		t.Fatalf("%d lines in one second", n)
	}
	now = now.Add(time.Second)
	fmt.Fprintln(b, "[WARN] memberlist: later")
	if !strings.Contains(out.String(), "suppressed=92") || !strings.Contains(out.String(), "later") {
		t.Fatal(out.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
