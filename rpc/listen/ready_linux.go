package listen

import (
	"errors"
	"io"
	"net"
	"syscall"

	"google.golang.org/grpc/mem"
)

// ready reads a TCP connection once it is readable.
type ready struct {
	raw  syscall.RawConn
	once func(fd uintptr) bool // made once: a closure a read would be an allocation a read

	// Of the read under way:
	size int
	pool mem.BufferPool
	buf  *[]byte
	n    int
	err  error
}

// newReady answers nil for a connection that is closed already: its reads say so.
func newReady(c *net.TCPConn) *ready {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	r := &ready{raw: raw}
	r.once = func(fd uintptr) bool {
		r.buf = r.pool.Get(r.size)
		// Package syscall, as net itself: the race detector sees two packages' reads and writes of one descriptor as a race.
		r.n, r.err = syscall.Read(int(fd), *r.buf)
		if r.err != nil {
			r.pool.Put(r.buf)
			r.buf = nil
		}
		return !errors.Is(r.err, syscall.EAGAIN)
	}
	return r
}

func (r *ready) read(size int, pool mem.BufferPool) (*[]byte, int, error) {
	r.size, r.pool, r.buf, r.n, r.err = size, pool, nil, 0, nil
	err := r.raw.Read(r.once)
	buf, n, readErr := r.buf, r.n, r.err
	r.pool, r.buf, r.err = nil, nil, nil
	switch {
	case err != nil:
		if buf != nil {
			pool.Put(buf)
		}
		return nil, 0, err
	case readErr != nil:
		return nil, 0, readErr
	case n == 0:
		pool.Put(buf)
		return nil, 0, io.EOF
	}
	return buf, n, nil
}
