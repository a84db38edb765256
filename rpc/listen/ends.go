package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Why a connection ended.
const (
	ByClient = "client"    // the client closed it
	Reset    = "reset"     // its system refused what was sent: the process is gone, or closed it before it had read all
	Gone     = "gone"      // nothing was heard of it
	Mute     = "handshake" // it did not begin to speak HTTP/2 in time
	ByBroker = "broker"    // it was closed here
)

// Ends are all of them.
var Ends = []string{ByClient, Reset, Gone, Mute, ByBroker}

// failed keeps the first error of reading or writing as the reason: the system tells each once. Errors of a connection that was closed
// here tell nothing.
func (c *conn) failed(err error) {
	if err == nil || errors.Is(err, net.ErrClosed) {
		return
	}
	reason := reasonOf(err)
	c.first.CompareAndSwap(nil, &reason)
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return ByClient
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Reset
	case errors.Is(err, os.ErrDeadlineExceeded): // only the handshake has one. ETIMEDOUT is not it.
		return Mute
	default: // what else a system says when it gives up: timed out, no route, the network is down
		return Gone
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.failed(err)
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.failed(err)
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.close.Do(func() {
		c.l.open.Add(-1)
		c.l.meet(c)
		if c.l.ended == nil {
			return
		}
		reason := ByBroker
		if first := c.first.Load(); first != nil {
			reason = *first
		}
		c.l.ended(reason)
	})
	return c.Conn.Close()
}
