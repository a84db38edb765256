package peer

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// strangerFrom opens a connection from an address of this host and says nothing.
func strangerFrom(t *testing.T, host, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
	c, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStrangersLeaveRoomForBrokers(t *testing.T) {
	n := newTestNet()
	b := start(t, n, member(2), listenOn(t, "127.0.0.1:0"), func(c *Config) { c.MaxConns = 64 })
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
	refused := func() float64 { return testutil.ToFloat64(b.metrics.refusedConns) }
	// One host gets its share, and no more.
	for range 64 / hostsShare {
		strangerFrom(t, "127.0.0.2", b.addr)
	}
	if _, err := io.ReadFull(strangerFrom(t, "127.0.0.2", b.addr), make([]byte, 1)); err == nil || refused() != 1 {
		t.Fatalf("one above the host's share: %v, %v refused", err, refused())
	}
	if _, err := a.CallAddr(callContext(t), b.addr, "", "x", nil); err != nil {
		t.Errorf("a broker of another host: %v", err)
	}
	// Many hosts get half; then a known connection still goes on.
	for i := range 64 {
		strangerFrom(t, fmt.Sprintf("127.0.1.%d", 1+i), b.addr)
	}
	until(t, "half is what strangers have", func() bool { return refused() >= 64-64/strangersShare })
	b.listener.mu.Lock()
	strangers, all := b.listener.strangers, len(b.listener.conns)
	b.listener.mu.Unlock()
	if strangers > 64/strangersShare || all > 64 {
		t.Errorf("%d strangers, %d connections", strangers, all)
	}
	// Their time ends by itself, and nothing is left of them.
	until(t, "strangers are gone", func() bool {
		b.listener.mu.Lock()
		defer b.listener.mu.Unlock()
		return b.listener.strangers == 0 && len(b.listener.hosts) == 0
	})
}
