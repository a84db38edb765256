package listen

import (
	"net"
	"testing"
)

func TestAHostOfIPv6IsItsNetwork(t *testing.T) {
	for _, x := range []struct {
		a, b string
		same bool
	}{
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"10.0.0.1", "10.0.0.2", false},
		{"::ffff:10.0.0.1", "10.0.0.1", true},
		{"::ffff:10.0.0.1", "::ffff:10.0.0.2", false},
	} {
		a, b := HostOf(&net.TCPAddr{IP: net.ParseIP(x.a), Port: 1}), HostOf(&net.TCPAddr{IP: net.ParseIP(x.b), Port: 2})
		if (a == b) != x.same {
			t.Errorf("%s is %v, %s is %v", x.a, a, x.b, b)
		}
	}
}
