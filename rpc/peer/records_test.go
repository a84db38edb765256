package peer

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// counted counts what goes to a socket and comes from it.
type counted struct {
	net.Conn
	mu            sync.Mutex
	reads, writes int
}

func (c *counted) Read(b []byte) (int, error) {
	c.mu.Lock()
	c.reads++
	c.mu.Unlock()
	return c.Conn.Read(b)
}

func (c *counted) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.writes++
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// A megabyte of TLS is 64 records: they go to the socket as a few writes, small ones at once, and all of it arrives.
func TestManyRecordsAreOneWrite(t *testing.T) {
	set := peerTLS(t, newSet(t))
	l := listenOn(t, "127.0.0.1:0")
	defer l.Close()
	big := make([]byte, 1<<20)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range big {
		big[i] = byte(r.Uint32())
	}
	messages := [][]byte{[]byte("a"), big, []byte("bc"), big[:16<<10+1], bytes.Repeat([]byte("d"), 300<<10)}
	served := make(chan error, 1)
	go func() { // ends with its connection
		raw, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer raw.Close()
		p := &Peers{cfg: Config{TLS: set}}
		c, err := p.secureServer(raw)
		for _, m := range messages {
			if err == nil {
				got := make([]byte, len(m))
				if _, err = io.ReadFull(c, got); err == nil && !bytes.Equal(got, m) {
					t.Errorf("a message of %d bytes arrives changed", len(m))
				}
			}
			if err == nil {
				_, err = c.Write([]byte("k")) // each is answered before the next is sent: nothing may be held back
			}
		}
		served <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	count := &counted{Conn: raw}
	p := &Peers{cfg: Config{TLS: &TLS{Server: set.Server, Client: set.Client}}}
	c, err := p.secureClient(t.Context(), count)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.(secured).Conn.NetConn().(*records); !ok {
		t.Fatal("TLS is on the bare socket")
	}
	for _, m := range messages {
		before := count.writes
		if _, err := c.Write(m); err != nil {
			t.Fatal(err)
		}
		if n, most := count.writes-before, 1+len(m)/(200<<10); n > most {
			t.Errorf("a message of %d bytes takes %d writes, want %d at most", len(m), n, most)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
