package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// names is the network's name server: it tells addresses (A) that may change, as the service of a container platform does.
type names struct {
	conn  net.PacketConn
	ended chan struct{}

	mu    sync.Mutex
	table map[string]netip.Addr
}

const (
	typeA     = 1
	classIN   = 1
	dnsHeader = 12
)

// serveNames listens on the clients' address and has this process ask it, too.
func serveNames() (*names, error) {
	conn, err := net.ListenPacket("udp", net.JoinHostPort(clientsIP, "53"))
	if err != nil {
		return nil, err
	}
	n := &names{conn: conn, ended: make(chan struct{}), table: map[string]netip.Addr{}}
	go n.serve() // ends with close
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	return n, nil
}

func (n *names) close() error {
	err := n.conn.Close()
	<-n.ended
	return err
}

// set changes where a name leads.
func (n *names) set(name, address string) error {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.table[name] = a
	return nil
}

func (n *names) serve() {
	defer close(n.ended)
	buf := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an answer that did not arrive
		}
		if answer, err := n.answer(buf[:size]); err == nil {
			_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second)) // fails only when closed
			_, _ = n.conn.WriteTo(answer, from)                      // who gets none asks again
		}
	}
}

var errShort = errors.New("the question is cut short")

// answer answers a message with one question (RFC 1035).
func (n *names) answer(q []byte) ([]byte, error) {
	if len(q) < dnsHeader {
		return nil, errShort
	}
	var labels []string
	at := dnsHeader
	for {
		if at >= len(q) {
			return nil, errShort
		}
		size := int(q[at])
		at++
		if size == 0 {
			break
		}
		if size > 63 || at+size > len(q) {
			return nil, errShort
		}
		labels = append(labels, string(q[at:at+size]))
		at += size
	}
	if at+4 > len(q) {
		return nil, errShort
	}
	name, kind, class := strings.ToLower(strings.Join(labels, ".")), binary.BigEndian.Uint16(q[at:]), binary.BigEndian.Uint16(q[at+2:])
	if class != classIN {
		return nil, fmt.Errorf("class %d", class)
	}
	n.mu.Lock()
	address, known := n.table[name]
	n.mu.Unlock()
	flags := uint16(0x8580) // an answer with authority; recursion was wanted and can be had
	if !known {
		flags |= 3 // no such name
	}
	out := make([]byte, 0, 64)
	out = append(out, q[:2]...)
	out = binary.BigEndian.AppendUint16(out, flags)
	answers := uint16(0)
	if known && kind == typeA {
		answers = 1
	}
	for _, count := range []uint16{1, answers, 0, 0} {
		out = binary.BigEndian.AppendUint16(out, count)
	}
	out = append(out, q[dnsHeader:at+4]...)
	if answers == 0 {
		return out, nil
	}
	out = append(out, 0xc0, dnsHeader) // the name is the question's
	out = binary.BigEndian.AppendUint16(out, typeA)
	out = binary.BigEndian.AppendUint16(out, classIN)
	out = binary.BigEndian.AppendUint32(out, 0) // not to be kept
	out = binary.BigEndian.AppendUint16(out, 4)
	four := address.As4()
	return append(out, four[:]...), nil
}
