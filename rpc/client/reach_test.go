package client

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// dead makes a client whose dialer fails with err.
func dead(t *testing.T, err error, opts ...Option) *Client {
	t.Helper()
	dial := func(context.Context, string) (net.Conn, error) { return nil, err }
	cl, e := New([]string{"a:1", "b:2"}, append(opts, WithDialOptions(grpc.WithContextDialer(dial)))...)
	if e != nil {
		t.Fatal(e)
	}
	t.Cleanup(func() { _ = cl.Close() })
	return cl
}

func TestFailFastEndsWhereNobodyListens(t *testing.T) {
	calls := map[string]func(context.Context, *Client) error{
		"admin":    func(ctx context.Context, c *Client) error { _, err := c.Admin().ListTopics(ctx, nil); return err },
		"metadata": func(ctx context.Context, c *Client) error { _, err := c.Metadata(ctx); return err },
		"offsets":  func(ctx context.Context, c *Client) error { _, err := c.ListOffsets(ctx, "t", AtEnd()); return err },
		"reader": func(ctx context.Context, c *Client) error {
			r, err := c.NewReader("t")
			if err != nil {
				return err
			}
			return r.Ready(ctx)
		},
	}
	for name, call := range calls {
		simulate(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			err := call(ctx, dead(t, errors.New("dial tcp: connect: connection refused"), WithFailFast()))
			wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_RETRIABLE, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE)
			if want := "no broker answers at a:1, b:2: connection refused"; err.Error() != want {
				t.Errorf("%s: %q, want %q", name, err, want)
			}
			if took := time.Since(began); took < refusedFor || took > refusedFor+2*retryMax {
				t.Errorf("%s: failed after %v", name, took)
			}
		})
	}
}

func TestCallsGoOnWithoutFailFastOrWithAnyOtherFailure(t *testing.T) {
	for _, c := range []struct {
		err  string
		opts []Option
		want string
	}{
		{"dial tcp: connect: connection refused", nil, "dial tcp: connect: connection refused"},
		{"dial tcp: connect: network is unreachable", []Option{WithFailFast()}, "dial tcp: connect: network is unreachable"},
	} {
		simulate(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := dead(t, errors.New(c.err), c.opts...).Admin().ListTopics(ctx, nil)
			if err == nil || !strings.HasPrefix(err.Error(), "no answer within 10s (") || !strings.HasSuffix(err.Error(), "attempts): "+c.want) {
				t.Errorf("got %v", err)
			}
			_, err = dead(t, errors.New(c.err), c.opts...).ListOffsets(within(t, 3*time.Second), "t", AtEnd())
			if err == nil || err.Error() != "no answer within 3s: "+c.want {
				t.Errorf("offsets: %v", err)
			}
		})
	}
}

// A broker that comes back within the 2 s is found, and one that accepts nothing else but that one counts.
func TestFailFastWaitsForABrokerThatStarts(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 3)
		c.topic("t", 1)
		for id := range int32(3) {
			c.stop(id + 1)
		}
		timer := time.AfterFunc(time.Second, func() { c.restart(2) })
		defer timer.Stop()
		if _, err := c.client(WithFailFast()).Metadata(within(t, time.Minute)); err != nil {
			t.Error(err)
		}
	})
}

func TestProducingOutlivesAFullRestartEvenWithFailFast(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.stop(1)
		timer := time.AfterFunc(30*time.Second, func() { c.restart(1) })
		defer timer.Stop()
		if err := c.client(WithFailFast()).ProduceSync(within(t, time.Minute), &Record{Topic: "t", Value: []byte("v")}); err != nil {
			t.Error(err)
		}
	})
}
