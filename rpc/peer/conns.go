package peer

import (
	"net"
	"net/netip"
	"sync"

	"github.com/runnel-io/runnel/rpc/listen"
)

const (
	// maxJoining caps the connections of brokers that belong to no cluster.
	maxJoining = 32
	// strangersShare and hostsShare are the parts of all connections that may be before their handshake, and that may be so from one host: a
	// flood leaves room for brokers that are known, and one host's for those of others.
	strangersShare, hostsShare = 2, 16
)

// listener caps accepted connections and can close those that are not yet, or no longer, gRPC's to end gracefully.
type listener struct {
	net.Listener
	max     int
	refused func()

	mu      sync.Mutex
	closed  bool
	joining int // of conns, those of brokers without a cluster
	// strangers are those of conns before their handshake, and hosts the same by host.
	strangers int
	hosts     map[netip.Addr]int
	conns     map[*acceptedConn]struct{}
}

func newListener(l net.Listener, maxConns int, refused func()) *listener {
	return &listener{Listener: l, max: maxConns, refused: refused, conns: map[*acceptedConn]struct{}{}, hosts: map[netip.Addr]int{}}
}

// acceptedConn is an incoming connection.
type acceptedConn struct {
	net.Conn
	l       *listener
	joining bool // the handshake named no cluster; guarded by l.mu
	host    netip.Addr
	known   bool // the handshake is done; guarded by l.mu
	// calls says that the handshake is done and no lane was opened: such a connection may finish its calls in Stop. Guarded
	// by l.mu.
	calls bool
}

// Accept closes what is above the cap at once, so that a flood costs no memory and known brokers stay connected.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.admit(raw); c != nil {
			return c, nil
		}
		l.refused()
		_ = raw.Close() // nobody to tell
	}
}

func (l *listener) admit(raw net.Conn) *acceptedConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &acceptedConn{Conn: raw, l: l, host: listen.HostOf(raw.RemoteAddr())}
	if l.closed || len(l.conns) >= l.max || l.strangers >= max(1, l.max/strangersShare) || l.hosts[c.host] >= max(1, l.max/hostsShare) {
		return nil
	}
	l.conns[c] = struct{}{}
	l.strangers++
	l.hosts[c.host]++
	return c
}

// meet takes c off the strangers. The caller holds l.mu.
func (c *acceptedConn) meet() {
	if c.known {
		return
	}
	c.known = true
	c.l.strangers--
	if c.l.hosts[c.host]--; c.l.hosts[c.host] == 0 {
		delete(c.l.hosts, c.host)
	}
}

func (c *acceptedConn) setCalls(v bool) {
	c.l.mu.Lock()
	c.meet()
	c.calls = v
	c.l.mu.Unlock()
}

// join counts c as the connection of a broker without a cluster; false if there are too many. Such a broker has proven
// nothing, and each connection may make this one hold a call's body.
func (c *acceptedConn) join() bool {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.l.joining >= maxJoining {
		return false
	}
	c.joining = true
	c.l.joining++
	return true
}

func (c *acceptedConn) Close() error {
	c.l.mu.Lock()
	if _, open := c.l.conns[c]; open {
		if c.joining {
			c.l.joining--
		}
		c.meet()
	}
	delete(c.l.conns, c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// endLanes closes every connection but those that may be serving calls, and admits no more.
func (l *listener) endLanes() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		if !c.calls {
			_ = c.Conn.Close() // gRPC notices and closes c, which takes it off the list
		}
	}
}
