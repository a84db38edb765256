package peer

import (
	"context"
	"strings"
	"testing"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// spoken is what this release speaks.
var spoken = versions{MinProtocolVersion, ProtocolVersion}

func TestTheHighestCommonVersionIsSpoken(t *testing.T) {
	for _, c := range []struct {
		own, other versions
		want       uint32
	}{
		{versions{1, 1}, versions{1, 1}, 1},
		{versions{1, 2}, versions{1, 1}, 1},
		{versions{1, 2}, versions{1, 3}, 2},
		{versions{2, 3}, versions{1, 2}, 2},
		{versions{2, 3}, versions{1, 1}, 0},
		{versions{1, 1}, versions{2, 3}, 0},
	} {
		if got := c.own.common(c.other); got != c.want {
			t.Errorf("%v and %v speak version %d, not %d", c.own, c.other, got, c.want)
		}
		if got := c.other.common(c.own); got != c.want {
			t.Errorf("%v and %v speak version %d, not %d", c.other, c.own, got, c.want)
		}
	}
}

// The first release compares one field with 1 and knows no other. What this release says must be that to it as long as it speaks version 1.
func TestAHelloIsThatOfTheFirstReleaseToIt(t *testing.T) {
	if h := helloRequest(member(1), versions{1, 4}); h.GetProtocolVersion() != 1 {
		t.Errorf("the first release reads version %d", h.GetProtocolVersion())
	}
	if v := versionsOf(&runnelv1.HelloRequest{ProtocolVersion: 1}); v != (versions{1, 1}) {
		t.Errorf("the first release is said to speak %v", v)
	}
}

// Brokers of three releases: each talks with its neighbour, and the first and the last say whose turn it is.
func TestTooOldAndTooNewBrokersAreRefusedInWords(t *testing.T) {
	n := newTestNet()
	start1 := func(id int32, v versions) *testBroker {
		return start(t, n, member(id), listenOn(t, "127.0.0.1:0"), func(c *Config) {
			c.versions = v
			c.Serve = func(_ context.Context, _ int32, _ string, body []byte) ([]byte, error) { return body, nil }
		})
	}
	old, between, newest := start1(1, versions{1, 1}), start1(2, versions{1, 2}), start1(3, versions{2, 3})
	for _, c := range []struct {
		from *testBroker
		to   int32
	}{{old, 2}, {between, 1}, {between, 3}, {newest, 2}} {
		if _, err := c.from.Call(callContext(t), c.to, "x", nil); err != nil {
			t.Errorf("broker %d is not reached: %v", c.to, err)
		}
	}
	for _, c := range []struct {
		from *testBroker
		to   int32
	}{{old, 3}, {newest, 1}} {
		_, err := c.from.Call(callContext(t), c.to, "x", nil)
		e := asError(t, err)
		if e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || !strings.Contains(e.GetMessage(), "version 1 of the protocol") && !strings.Contains(e.GetMessage(), ") version 1:") ||
			!strings.Contains(e.GetMessage(), "versions 2 to 3") || !strings.Contains(e.GetMessage(), "upgrade broker 1") {
			t.Errorf("to broker %d: %v", c.to, e)
		}
	}
}
