package peer

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/partition/multiraft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen; it is never a measure.
const patience = 20 * time.Second

// received is a packet and who sent it.
type received struct {
	from int32
	p    *multiraft.Packet
}

// testBroker is one end, with everything it is told on channels.
type testBroker struct {
	*Peers
	t        testing.TB
	net      *testNet
	addr     string
	received chan received
	refused  chan int32
	reg      *prometheus.Registry

	mu sync.Mutex
	id Identity
}

// testNet is the brokers' addresses.
type testNet struct {
	mu    sync.Mutex
	addrs map[int32]string
}

func newTestNet() *testNet { return &testNet{addrs: map[int32]string{}} }

func (n *testNet) resolve(id int32) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, ok := n.addrs[id]
	return a, ok
}

func (n *testNet) set(id int32, addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs[id] = addr
}

func listenOn(t testing.TB, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start runs a broker. tweak may change its Config.
func start(t testing.TB, n *testNet, id Identity, l net.Listener, tweak func(*Config)) *testBroker {
	t.Helper()
	b := &testBroker{t: t, net: n, addr: l.Addr().String(), received: make(chan received, 100000), refused: make(chan int32, 100000), id: id, reg: prometheus.NewRegistry()}
	c := Config{
		Listen:   l,
		Identity: b.identity,
		Resolve:  n.resolve,
		Receive: func(from int32, p *multiraft.Packet) {
			select {
			case b.received <- received{from, p}:
			default:
			}
		},
		Refused: func(id int32) {
			select {
			case b.refused <- id:
			default:
			}
		},
		Serve:      func(context.Context, int32, string, []byte) ([]byte, error) { return nil, nil },
		Registerer: b.reg,
	}
	if tweak != nil {
		tweak(&c)
	}
	p, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Peers = p
	if id.BrokerID != 0 {
		n.set(id.BrokerID, b.addr)
	}
	t.Cleanup(b.Stop)
	return b
}

func (b *testBroker) identity() Identity {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id
}

func (b *testBroker) become(id Identity) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.id = id
}

func member(id int32) Identity {
	return Identity{ClusterID: "c1", BrokerID: id, Incarnation: "i", Nonce: uint64(id) * 100, Version: "test"}
}

// two starts brokers 1 and 2 of one cluster.
func two(t testing.TB) (a, b *testBroker) {
	n := newTestNet()
	return start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil), start(t, n, member(2), listenOn(t, "127.0.0.1:0"), nil)
}

// next waits for a value.
func next[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case v := <-c:
		return v
	case <-timeout.C:
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// until repeats f until it is true.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// heartbeat makes a numbered packet.
func heartbeat(seq uint64) *multiraft.Packet {
	return &multiraft.Packet{Nonce: 1, Heartbeat: &multiraft.Heartbeat{Seq: seq}}
}

// connect sends until something arrives.
func connect(t testing.TB, from, to *testBroker, lane multiraft.Lane) {
	t.Helper()
	until(t, "the lane is connected", func() bool {
		from.Send(to.identity().BrokerID, lane, heartbeat(0))
		select {
		case <-to.received:
			return true
		default:
			return false
		}
	})
}
