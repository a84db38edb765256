package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// secureServer is the listener's side of TLS; without TLS it gives raw back. gRPC has set a deadline and closes raw on an error.
func (p *Peers) secureServer(raw net.Conn) (net.Conn, error) {
	if p.cfg.TLS == nil {
		return raw, nil
	}
	r := newRecords(raw)
	c := tls.Server(r, p.cfg.TLS.Server)
	if err := c.Handshake(); err != nil {
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) {
			return nil, fmt.Errorf("peer: it does not speak TLS: a broker there needs tls.peer.cert, tls.peer.key and tls.peer.ca too: %w", err)
		}
		return nil, fmt.Errorf("peer: TLS: %w", err)
	}
	r.grow()
	return secured{c, r}, nil
}

// secureClient is the dialler's side.
func (p *Peers) secureClient(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if p.cfg.TLS == nil {
		return raw, nil
	}
	ctx, cancel := context.WithDeadline(ctx, time.Now().Add(handshakeTimeout))
	defer cancel()
	r := newRecords(raw)
	c := tls.Client(r, p.cfg.TLS.Client)
	if err := c.HandshakeContext(ctx); err != nil {
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) || hungUp(err) {
			return nil, fmt.Errorf("%w: does the broker there have tls.peer.cert, tls.peer.key and tls.peer.ca?", err)
		}
		return nil, err
	}
	r.grow()
	return secured{c, r}, nil
}

// secured closes at once. crypto/tls would first write a farewell, for up to 5 s to a broker that hangs; HTTP/2 has its own, and its frames
// tell what is whole.
type secured struct {
	*tls.Conn
	records *records
}

func (s secured) Write(b []byte) (int, error) {
	s.records.hold()
	n, err := s.Conn.Write(b)
	if flushed := s.records.release(); err == nil {
		err = flushed
	}
	return n, err
}

func (s secured) Close() error { return s.records.Close() }

// mayWantTLS adds what an ended handshake may mean. A broker with TLS says nothing to one without; with TLS 1.3, one that refuses the
// dialler's certificate says so only now.
func mayWantTLS(c net.Conn, err error) error {
	if _, secure := c.(secured); !secure && hungUp(err) {
		return fmt.Errorf("%w: the broker there may want TLS, and this one has no tls.peer.cert", err)
	}
	return err
}

func hungUp(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) }
