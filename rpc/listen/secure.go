package listen

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
)

// waitForRoom is how long a handshake waits for one of the others to end. Many clients that come back at once get their turn; a flood is
// refused before it holds anything for long.
const waitForRoom = 3 * time.Second

// What a refused client may still send, and for how long.
const (
	lingerFor   = 200 * time.Millisecond
	lingerBytes = 64 << 10
)

var errNoRoom = errors.New("too many TLS handshakes at once")

// Secure is TLS for a gRPC server, with at most so many handshakes at a time, and half as many of one host. gRPC's ConnectionTimeout bounds each. refused is told why
// a connection came to nothing, with the error of a handshake.
func Secure(c *tls.Config, most int, refused func(reason string, from net.Addr, err error)) credentials.TransportCredentials {
	return &secure{TransportCredentials: credentials.NewTLS(c), linger: lingerFor, room: make(chan struct{}, most), hosts: newShares(max(1, most/2)), refused: refused}
}

type secure struct {
	credentials.TransportCredentials
	room    chan struct{}
	hosts   *shares
	refused func(reason string, from net.Addr, err error)
	linger  time.Duration // lingerFor, but for tests
}

func (s *secure) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	leave := s.enter(raw.RemoteAddr())
	if leave == nil {
		s.refused(Handshakes, raw.RemoteAddr(), errNoRoom)
		return nil, nil, errNoRoom
	}
	h := &held{Conn: raw}
	c, info, err := s.TransportCredentials.ServerHandshake(h)
	leave()
	if err != nil {
		s.refused(TLS, raw.RemoteAddr(), err)
		h.letRead(s.linger)
	}
	h.free = true
	return c, info, err
}

// held is a connection that gRPC's TLS does not close when its handshake fails.
type held struct {
	net.Conn
	free bool
}

func (h *held) Close() error {
	if !h.free {
		return nil
	}
	return h.Conn.Close()
}

// letRead gives the other end time to read why it was refused: with TLS 1.3 it has sent a request before it knows, and to close with that
// unread would reset the connection and take the alert with it. gRPC closes afterwards.
func (h *held) letRead(linger time.Duration) {
	if err := h.SetDeadline(time.Now().Add(linger)); err != nil {
		return
	}
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // it is closed right after
	}
	_, _ = io.CopyN(io.Discard, h.Conn, lingerBytes)
}

// enter waits for room, first of the host's own, then of all. leave is nil if there was none in time.
func (s *secure) enter(from net.Addr) (leave func()) {
	end := make(chan struct{})
	stop := time.AfterFunc(waitForRoom, func() { close(end) })
	defer stop.Stop()
	own := s.hosts.enter(from, end)
	if own == nil {
		return nil
	}
	select {
	case s.room <- struct{}{}:
		return func() { <-s.room; own() }
	case <-end:
		own()
		return nil
	}
}

func (s *secure) Clone() credentials.TransportCredentials {
	return &secure{TransportCredentials: s.TransportCredentials.Clone(), linger: s.linger, room: s.room, hosts: s.hosts, refused: s.refused}
}
