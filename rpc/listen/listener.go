package listen

import (
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"
)

// Why a connection was refused.
const (
	Connections = "connections" // too many are open
	Handshakes  = "handshakes"  // too many shake hands at once
	TLS         = "tls"         // the handshake failed
)

// Listener caps accepted connections.
type Listener struct {
	net.Listener
	most    int64
	refused func(reason string, from net.Addr)
	ended   func(reason string) // nil: nobody wants to know
	open    atomic.Int64

	mu        sync.Mutex
	closed    bool // to strangers
	strangers map[*conn]struct{}
}

// Bound caps the connections of l at most; refused is told of each that is closed for that.
func Bound(l net.Listener, most int, refused func(reason string, from net.Addr)) *Listener {
	return &Listener{Listener: l, most: int64(most), refused: refused, strangers: map[*conn]struct{}{}}
}

// Tell has ended told why each connection ended, one of [Ends]. Call it before Accept.
func (l *Listener) Tell(ended func(reason string)) { l.ended = ended }

// Open is how many connections are open.
func (l *Listener) Open() int64 { return l.open.Load() }

// Accept closes what is above the cap.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) > l.most {
			l.open.Add(-1)
			l.refused(Connections, raw.RemoteAddr())
			_ = raw.Close() // nobody to tell
			continue
		}
		c := &conn{Conn: raw, l: l}
		if tcp, ok := raw.(*net.TCPConn); ok {
			c.ready = newReady(tcp)
		}
		if !l.greet(c) {
			_ = c.Close() // nobody to tell
			continue
		}
		return c, nil
	}
}

// conn is an accepted connection.
type conn struct {
	net.Conn
	l     *Listener
	close sync.Once
	ready *ready // nil: reads just wait
	first atomic.Pointer[string]
}

// CloseWrite is of a TCP connection.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

// ReadOnReady has gRPC take a buffer for a read only once there is something to read. gRPC does so itself with connections that it
// knows; without it every idle connection holds a buffer. Like Read in gRPC, it is for one goroutine at a time.
func (c *conn) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	if c.ready != nil {
		buf, n, err := c.ready.read(size, pool)
		c.failed(err)
		return buf, n, err
	}
	buf := pool.Get(size)
	n, err := c.Read(*buf)
	if err != nil {
		pool.Put(buf)
		return nil, 0, err
	}
	return buf, n, nil
}
