package peer

import (
	"net"
	"sync"
)

// maxJoining caps the connections of brokers that belong to no cluster.
const maxJoining = 32

// listener caps accepted connections and can close those that are not yet, or no longer, gRPC's to end gracefully.
type listener struct {
	net.Listener
	max     int
	refused func()

	mu      sync.Mutex
	closed  bool
	joining int // of conns, those of brokers without a cluster
	conns   map[*acceptedConn]struct{}
}

func newListener(l net.Listener, maxConns int, refused func()) *listener {
	return &listener{Listener: l, max: maxConns, refused: refused, conns: map[*acceptedConn]struct{}{}}
}

// acceptedConn is an incoming connection.
type acceptedConn struct {
	net.Conn
	l       *listener
	joining bool // the handshake named no cluster; guarded by l.mu
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
	if l.closed || len(l.conns) >= l.max {
		return nil
	}
	c := &acceptedConn{Conn: raw, l: l}
	l.conns[c] = struct{}{}
	return c
}

func (c *acceptedConn) setCalls(v bool) {
	c.l.mu.Lock()
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
	if _, open := c.l.conns[c]; open && c.joining {
		c.l.joining--
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
