package peer

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"sync"
)

const (
	// recordsBuffer is what is read from a socket, and written to it, at a time.
	recordsBuffer = bufferSize
	// strangersBuffer is the same before the other end has proven that it is a broker.
	strangersBuffer = 4 << 10
)

// records stands between crypto/tls and the socket. TLS reads and writes each record of 16 KiB by itself, and reads it in two pieces: for the
// megabytes that go between brokers that is a system call every few KiB. Here many records are one.
type records struct {
	net.Conn
	in *bufio.Reader

	mu   sync.Mutex
	held int // writes under way above TLS: their records wait for each other
	out  []byte
	err  error // of a write that was said to have worked
}

func newRecords(raw net.Conn) *records {
	return &records{Conn: raw, in: bufio.NewReaderSize(raw, strangersBuffer)}
}

// grow is called once the other end is known, before anything more is read.
func (r *records) grow() {
	rest, _ := r.in.Peek(r.in.Buffered()) // what is buffered can be peeked at
	r.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(rest)), r.Conn), recordsBuffer)
}

// Read is of crypto/tls.
func (r *records) Read(b []byte) (int, error) { return r.in.Read(b) }

// Write is of crypto/tls. What it writes by itself, such as an alert, goes out at once.
func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	if r.held == 0 {
		return r.Conn.Write(b)
	}
	r.out = append(r.out, b...)
	if len(r.out) >= recordsBuffer {
		if err := r.flushLocked(); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (r *records) hold() {
	r.mu.Lock()
	r.held++
	r.mu.Unlock()
}

// release writes what was held, once nobody holds any more.
func (r *records) release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held--
	if r.held > 0 {
		return nil
	}
	return r.flushLocked()
}

func (r *records) flushLocked() error {
	if len(r.out) == 0 || r.err != nil {
		return r.err
	}
	_, r.err = r.Conn.Write(r.out)
	r.out = r.out[:0]
	return r.err
}
