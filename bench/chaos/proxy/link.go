package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

// dialTimeout bounds connecting to a broker on this machine.
const dialTimeout = 5 * time.Second

// piece is how much passes at a time.
const piece = 32 << 10

// link is one connection: its opener's side and the broker's.
type link struct {
	from, to  int
	near, far *net.TCPConn
	ctx       context.Context
	cancel    context.CancelFunc
}

func (n *Network) accept(l net.Listener, x *Node, to string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // Shut
		}
		n.wg.Go(func() { n.serve(c.(*net.TCPConn), x, to) })
	}
}

// serve finds out who has come, connects, and passes bytes on until both sides are done or the link is broken.
func (n *Network) serve(near *net.TCPConn, x *Node, to string) {
	defer near.Close()
	from, ok := n.owner(near)
	if !ok {
		n.mu.Lock()
		n.counts.Unknown++
		n.mu.Unlock()
		return
	}
	l := &link{from: from, to: x.Number, near: near}
	l.ctx, l.cancel = context.WithCancel(n.ctx)
	defer l.cancel()
	n.mu.Lock()
	n.conns[l] = struct{}{}
	n.counts.Connections++
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.conns, l)
		n.mu.Unlock()
	}()
	// The first packet of a connection passes by the path like any other.
	if n.path(Pair{from, x.Number}).pass(l.ctx) != nil {
		reset(near)
		return
	}
	d := net.Dialer{Timeout: dialTimeout}
	far, err := d.DialContext(l.ctx, "tcp", to)
	if err != nil {
		reset(near)
		return
	}
	l.far = far.(*net.TCPConn)
	defer far.Close()
	end := context.AfterFunc(l.ctx, func() { // ends both pumps
		reset(l.near)
		reset(l.far)
	})
	defer end()
	var pumps sync.WaitGroup
	there, back := n.path(Pair{from, x.Number}), n.path(Pair{x.Number, from})
	pumps.Go(func() { l.pump(l.far, near, there, back) })
	pumps.Go(func() { l.pump(near, l.far, back, there) })
	pumps.Wait()
}

// pump passes bytes by a path. The end of what comes is passed on, and an error ends the link: news like any other, which a cut holds
// up. That dst is gone is news of the way back.
func (l *link) pump(dst, src *net.TCPConn, p, back *path) {
	buf := make([]byte, piece)
	for { // a cut path is read from, too: what waits in the system's buffers meets no cut that could be counted
		size, err := src.Read(buf)
		if size > 0 {
			if p.pass(l.ctx) != nil || proc.Wait(l.ctx, p.takes(size)) != nil {
				return
			}
			if _, werr := dst.Write(buf[:size]); werr != nil {
				if back.pass(l.ctx) == nil {
					l.cancel()
				}
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if p.pass(l.ctx) == nil {
				_ = dst.CloseWrite() // the other side ends by itself
			}
			return
		case err != nil:
			if p.pass(l.ctx) == nil {
				l.cancel()
			}
			return
		}
	}
}

// breakConns breaks the connections that f chooses.
func (n *Network) breakConns(f func(*link) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l := range n.conns {
		if f(l) {
			l.cancel()
		}
	}
}

// reset closes a connection so that the other side sees an error and not an end.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // of a closed one it fails
	_ = c.Close()
}

// owner is the node that opened a connection: 0 if this process did.
func (n *Network) owner(c *net.TCPConn) (int, bool) {
	inode, err := inodeOf(c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort())
	if err != nil {
		return 0, false
	}
	for _, x := range n.nodes {
		if pid := x.PID(); pid != 0 && holds(pid, inode) {
			return x.Number, true
		}
	}
	return 0, holds(os.Getpid(), inode)
}
