package peer

import (
	"bytes"
	"context"
	"testing"
)

// A call does not wait behind one that moves a log: they do not share a connection.
func TestBulkCallsHaveAConnectionOfTheirOwn(t *testing.T) {
	hold, begun := make(chan struct{}), make(chan struct{})
	n := newTestNet()
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
	start(t, n, member(2), listenOn(t, "127.0.0.1:0"), func(c *Config) {
		c.Serve = func(_ context.Context, from int32, method string, body []byte) ([]byte, error) {
			if from != 1 {
				t.Errorf("the call is from broker %d", from)
			}
			if method == "slow" {
				close(begun)
				<-hold
			}
			return body, nil
		}
	})
	large := bytes.Repeat([]byte("x"), maxFrame)
	over := make(chan error, 1)
	go func() {
		out, err := a.Bulk().Call(context.Background(), 2, "slow", large)
		if err == nil && !bytes.Equal(out, large) {
			t.Error("another answer than was sent")
		}
		over <- err
	}()
	next(t, begun, "the bulk call")
	if _, err := a.Call(context.Background(), 2, "quick", nil); err != nil {
		t.Fatal(err)
	}
	l := a.peer(2)
	if l.calls.c == nil || l.bulk.c == nil || l.calls.c == l.bulk.c {
		t.Error("they share a connection")
	}
	close(hold)
	if err := next(t, over, "the bulk call's end"); err != nil {
		t.Fatal(err)
	}
}
