package broker_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	// closedWithin is how long any port may talk to a stranger: gRPC's time for a handshake is the longest, 10 s.
	closedWithin = 15 * time.Second
	// strangersHeap is what all strangers of a test together may make the broker hold.
	strangersHeap = 40 << 20
	// each is how many connections send the same.
	each = 8
)

// slow marks bytes that are sent one a second.
type bytesOf struct {
	name string
	text []byte
	slow bool
}

func strangers(t *testing.T) []bytesOf {
	random := make([]byte, 256<<10)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	http2 := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, nil)...)
	kafka := append(binary.BigEndian.AppendUint32(nil, 24), 0, 18, 0, 3, 0, 0, 0, 1, 0, 4)
	label := append([]byte{244, 7}, "runnel1"...)
	return []bytesOf{
		{"nothing", nil, false},
		{"HTTP/1", []byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nx"), false},
		{"HTTP/1 that never ends", append([]byte("GET / HTTP/1.1\r\nX: "), bytes.Repeat([]byte("y"), 1<<20)...), false},
		{"HTTP/2", http2, false},
		{"HTTP/2 with a frame of 16 MiB", append(bytes.Clone(http2), 0xff, 0xff, 0xff, 1, 4, 0, 0, 0, 1), false},
		{"HTTP/2 with headers that go on", append(bytes.Clone(http2), bytes.Repeat(frame(1, 0, 1, make([]byte, 16000)), 40)...), false},
		{"TLS hello", clientHello(t), false},
		{"half a TLS hello", clientHello(t)[:60], false},
		{"TLS record of 64 KiB", append([]byte{22, 3, 3, 0xff, 0xff}, random[:65535]...), false},
		{"hello between brokers", append([]byte("RNLP\xff\xff"), random[:65535]...), false},
		{"gossip, state of 4 GiB", append(append(bytes.Clone(label), 10, 0xff, 0xff, 0xff, 0xff), random...), false},
		{"gossip, state of 20 MiB", append(append(bytes.Clone(label), 10, 1, 0x3f, 0xff, 0xff), random...), false},
		{"gossip in plain text", append(append(bytes.Clone(label), 6, 0x83), random[:1000]...), false},
		{"Kafka", append(kafka, "client-with-a-name"...), false},
		{"Kafka, 2 GiB", append([]byte{0x7f, 0xff, 0xff, 0xff}, random...), false},
		{"chance", random, false},
		{"zeros", make([]byte, 64<<10), false},
		{"HTTP/1, a byte a second", []byte("GET /metrics HTTP/1.1\r\nHost: broker\r\n"), true},
		{"TLS, a byte a second", clientHello(t), true},
		{"RNLP, a byte a second", append([]byte("RNLP\x10\x00"), make([]byte, 16)...), true},
		{"gossip, a byte a second", append(bytes.Clone(label), make([]byte, 20)...), true},
	}
}

// clientHello is what a client of TLS sends first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	done := make(chan struct{})
	go func() { // ends since b is closed
		defer close(done)
		_ = tls.Client(b, &tls.Config{ServerName: "broker"}).Handshake() // fails: nobody answers
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(a, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(a, body); err != nil {
		t.Fatal(err)
	}
	_ = b.Close()
	<-done
	return append(head, body...)
}

// Bytes of every protocol on every port, from strangers. Each connection ends in time, the broker holds little for all of them together, and it
// serves its clients meanwhile and afterwards. Not beside other tests: it measures memory.
func TestBytesOfEveryProtocolOnEveryPort(t *testing.T) {
	c := brokertest.Start(t, 1, brokertest.TLS())
	cl := dial(t, c, client.WithTLS(c.ClientTLS("client")))
	create(t, cl, "orders", 1, 1)
	cfg := c.Config(1)
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)

	var all sync.WaitGroup
	for port, addr := range map[string]string{"client": cfg.Listen, "peer": cfg.PeerListen, "gossip": cfg.GossipListen, "http": cfg.HTTPListen} {
		for _, b := range strangers(t) {
			for range each {
				all.Go(func() { // ends since each connection has a deadline
					if err := converse(addr, b); err != nil {
						t.Errorf("%s on the %s port: %v", b.name, port, err)
					}
				})
			}
		}
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }() // ends with the connections
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var most uint64
	for n, going := 0, true; going; n++ {
		select {
		case <-done:
			going = false
		case <-tick.C:
		}
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc)
		if n%50 == 0 {
			produce(t, cl, "orders", 1000*n, 1)
		}
	}
	// HeapAlloc has garbage in it that was not collected yet, which may be as much as what is alive.
	if grown := int64(most) - int64(before.HeapAlloc); grown > strangersHeap {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	} else {
		t.Logf("the heap grew by %d MiB at most", grown>>20)
	}
	if _, err := http1(cfg.HTTPListen); err != nil {
		t.Errorf("metrics afterwards: %v", err)
	}
	produce(t, cl, "orders", 0, 100)
}

// converse sends bytes and waits until the other end has closed.
func converse(addr string, b bytesOf) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(closedWithin)); err != nil {
		return err
	}
	sent := make(chan struct{})
	ended := make(chan struct{})
	go func() { // ends by ended, or by the deadline
		defer close(sent)
		text := b.text
		if !b.slow {
			_, _ = conn.Write(text) // it may be closed midway
			return
		}
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for len(text) > 0 {
			if _, err := conn.Write(text[:1]); err != nil {
				return
			}
			text = text[1:]
			select {
			case <-tick.C:
			case <-ended:
				return
			}
		}
	}()
	_, err = io.Copy(io.Discard, conn)
	close(ended)
	_ = conn.Close() // ends the write, too
	<-sent
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("it was not closed in time")
	}
	return nil // closed, or reset
}

// http1 is one scrape.
func http1(addr string) (int, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /metrics HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n")); err != nil {
		return 0, err
	}
	text, err := io.ReadAll(conn)
	if err == nil && !bytes.HasPrefix(text, []byte("HTTP/1.1 200")) {
		err = errors.New("no 200")
	}
	return len(text), err
}

// Clients that begin TLS and go on no further take the room for handshakes for as long as one may last, and no longer; a client that is connected
// does not notice.
func TestHandshakesThatStallAreBounded(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1, brokertest.TLS())
	cl := secureClient(t, c)
	create(t, cl, "orders", 1, 1)
	half := clientHello(t)[:60]
	var open sync.WaitGroup
	for range 600 { // above the bound of handshakes at once
		conn, err := net.Dial("tcp", c.Config(1).Listen)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(half); err != nil {
			t.Fatal(err)
		}
		open.Go(func() { // ends by the deadline
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(closedWithin))
			if _, err := io.Copy(io.Discard, conn); err != nil {
				if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
					t.Error("a handshake that stalls was not ended")
				}
			}
		})
	}
	produce(t, cl, "orders", 0, 100)
	open.Wait()
	if n := metric(t, c, 1, "runnel_broker_refused_connections_total", `"handshakes"`); n == 0 {
		t.Error("no handshake was refused for want of room: the bound was not met")
	}
	produce(t, secureClient(t, c), "orders", 100, 100)
}
