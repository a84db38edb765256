package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// maxStreams caps incoming connections that are open at once. memberlist sizes buffers by what a stranger claims, so
	// this bounds that memory. A healthy cluster opens a few a minute, each for milliseconds.
	maxStreams = 16
	// maxStreamBytes caps what one incoming connection may send: the state of several thousand brokers.
	maxStreamBytes = 4 << 20
)

var errStreamTooLong = errors.New("gossip: a connection sent more than any cluster's state")

// transport is memberlist's network transport with bounds on what strangers may send and with an end to waiting: dials
// and open connections end when it shuts down.
type transport struct {
	*memberlist.NetTransport
	ctx     context.Context // ends dials
	cancel  context.CancelFunc
	refused func()

	streams chan net.Conn
	closed  chan struct{}
	filter  sync.WaitGroup

	mu   sync.Mutex
	open map[*stream]struct{}
}

// newTransport owns one goroutine, which ends in Shutdown.
func newTransport(inner *memberlist.NetTransport, refused func()) *transport {
	t := &transport{
		NetTransport: inner,
		refused:      refused,
		streams:      make(chan net.Conn),
		closed:       make(chan struct{}),
		open:         map[*stream]struct{}{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.filter.Add(1)
	go t.filterStreams()
	return t
}

// StreamCh hides the inner transport's: every connection passes filterStreams.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

func (t *transport) filterStreams() {
	defer t.filter.Done()
	for {
		select {
		case <-t.closed:
			return
		case c := <-t.NetTransport.StreamCh():
			s := t.admit(c)
			if s == nil {
				t.refused()
				_ = c.Close() // nobody to tell
				continue
			}
			select {
			case t.streams <- s:
			case <-t.closed:
				_ = s.Close()
			}
		}
	}
}

// admit wraps c, or answers nil if too many are open.
func (t *transport) admit(c net.Conn) *stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) >= maxStreams {
		return nil
	}
	s := &stream{Conn: c, t: t, left: maxStreamBytes}
	t.open[s] = struct{}{}
	return s
}

// DialTimeout is of memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout is of memberlist.NodeAwareTransport. Unlike the inner one it ends at once on Shutdown.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	return d.DialContext(t.ctx, "tcp", a.Addr)
}

// Shutdown closes the listeners and all incoming connections.
func (t *transport) Shutdown() error {
	t.cancel()
	// The filter must still run here: the inner transport waits for its accept loop, which hands over to the filter.
	err := t.NetTransport.Shutdown()
	select {
	case <-t.closed:
	default:
		close(t.closed)
	}
	t.filter.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.open {
		_ = s.Conn.Close()
	}
	return err
}

// stream is an incoming connection that counts what it reads.
type stream struct {
	net.Conn
	t    *transport
	left int // used by the one reader only
}

func (s *stream) Read(b []byte) (int, error) {
	if s.left <= 0 {
		return 0, errStreamTooLong
	}
	n, err := s.Conn.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, err
}

func (s *stream) Close() error {
	s.t.mu.Lock()
	delete(s.t.open, s)
	s.t.mu.Unlock()
	return s.Conn.Close()
}

// listen opens UDP and TCP on the same port. With port 0 the kernel picks one for TCP that may be taken for UDP: try again.
func listen(nc *memberlist.NetTransportConfig) (*memberlist.NetTransport, error) {
	tries := 1
	if nc.BindPort == 0 {
		tries = 20
	}
	var err error
	for range tries {
		var t *memberlist.NetTransport
		if t, err = memberlist.NewNetTransport(nc); err == nil {
			return t, nil
		}
	}
	return nil, fmt.Errorf("gossip: listen on %s port %d (UDP and TCP): %w; choose another gossip address or stop what uses it",
		nc.BindAddrs[0], nc.BindPort, err)
}
