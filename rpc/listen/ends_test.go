package listen

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
)

func TestWhyAConnectionEndedIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(t *testing.T, client net.Conn, accepted *conn)
		want string
	}{
		"the client closes": {func(t *testing.T, client net.Conn, accepted *conn) {
			closeNow(t, client)
			read(accepted)
		}, ByClient},
		"the client closes, and gRPC reads": {func(t *testing.T, client net.Conn, accepted *conn) {
			closeNow(t, client)
			if _, _, err := accepted.ReadOnReady(10, mem.DefaultBufferPool()); err == nil {
				t.Error("read")
			}
		}, ByClient},
		"a reset": {func(t *testing.T, client net.Conn, accepted *conn) {
			if err := client.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			closeNow(t, client)
			read(accepted)
			read(accepted) // the end of a connection that was reset is not the client's
		}, Reset},
		"a client that says nothing": {func(t *testing.T, _ net.Conn, accepted *conn) {
			if err := accepted.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			read(accepted)
		}, Mute},
		"the broker closes": {func(t *testing.T, _ net.Conn, accepted *conn) {
			closeNow(t, accepted)
			read(accepted)
		}, ByBroker},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := TCP(context.Background(), "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			var ends []string
			l := Bound(raw, 1, nil)
			l.Tell(func(why string) { ends = append(ends, why) })
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c.end(t, client, accepted.(*conn))
			_, _ = accepted.Close(), accepted.Close() // twice, as gRPC does
			if len(ends) != 1 || ends[0] != c.want {
				t.Errorf("told %q, want %s", ends, c.want)
			}
		})
	}
}

func read(c net.Conn) { _, _ = c.Read(make([]byte, 1)) } // for its error, which the connection keeps

func closeNow(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
