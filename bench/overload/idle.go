package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// The frames of HTTP/2 that a connection needs which says nothing (RFC 9113).
const (
	preface       = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHead     = 9
	frameSettings = 4
	framePing     = 6
	frameGoAway   = 7
	flagAck       = 1
)

// idle opens connections to the first broker, does what a client library does when its user does nothing, and counts those that are
// still open at the end.
func idle(ctx context.Context, o loadOptions, t *tally) error {
	var wg sync.WaitGroup
	var open atomic.Int64
	conns := make([]net.Conn, 0, o.n)
	defer func() {
		t.count("open", open.Load())
		for _, c := range conns {
			_ = c.Close() // its reader ends
		}
		wg.Wait()
	}()
	for range o.n {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", o.seeds[0])
		if err != nil {
			return fmt.Errorf("connection %d: %w", len(conns)+1, err)
		}
		conns = append(conns, c)
		if _, err := c.Write(append([]byte(preface), 0, 0, 0, frameSettings, 0, 0, 0, 0, 0)); err != nil {
			return err
		}
		open.Add(1)
		wg.Go(func() {
			if why := answer(c); ctx.Err() == nil {
				open.Add(-1)
				t.count("ended, "+how(why), 1)
			}
		})
	}
	t.count("opened", int64(len(conns)))
	ready()
	<-ctx.Done()
	return nil
}

var errGoodbye = errors.New("GOAWAY")

// how says what this end was told when a connection ended.
func how(err error) string {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed by the broker"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE): // what this end sent was not read any more
		return "closed by the broker before it read what had come"
	default:
		return err.Error()
	}
}

// answer acknowledges settings and pings until the connection ends, and says how it did.
func answer(c net.Conn) error {
	var head [frameHead]byte
	var body [64]byte
	for {
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(head[:4]) >> 8)
		kind, flags := head[3], head[4]
		payload := body[:min(n, len(body))]
		if _, err := io.ReadFull(c, payload); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, c, int64(n-len(payload))); err != nil {
			return err
		}
		switch {
		case kind == frameGoAway:
			return errGoodbye
		case kind == frameSettings && flags&flagAck == 0:
			head, payload = [frameHead]byte{0, 0, 0, frameSettings, flagAck}, nil
		case kind == framePing && flags&flagAck == 0:
			head = [frameHead]byte{0, 0, 8, framePing, flagAck}
		default:
			continue
		}
		if _, err := c.Write(append(head[:], payload...)); err != nil {
			return err
		}
	}
}
