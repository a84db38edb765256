package broker

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// gRPC with pings of its own sets their time-out as the kernel's, which then cuts a connection off for one lost question of TCP: package
// listen has what asks.
func TestTheServerLeavesItToTheSystemToFindClientsThatAreGone(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, _ := NewGRPCServer(GRPCOptions{})
	l := &keeping{Listener: raw, accepted: make(chan *net.TCPConn, 1)}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	defer func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	client, err := net.Dial("tcp", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	var settings [9]byte
	if _, err := client.Read(settings[:]); err != nil {
		t.Fatal(err)
	}
	sc, err := (<-l.accepted).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := sc.Control(func(fd uintptr) {
		if v, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil || v != 0 {
			t.Errorf("gRPC has the kernel give up after %d ms: %v", v, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

type keeping struct {
	net.Listener
	accepted chan *net.TCPConn
}

func (l *keeping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted <- c.(*net.TCPConn)
	}
	return c, err
}
