package catchup

import (
	"context"
	"net"
	"strconv"
	"testing"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/rpc/peer"
)

// Over real connections, between brokers as they run.
func TestReplicaIsInstalledOverPeers(t *testing.T) {
	e, stop := env.NewReal(env.RealOptions{})
	defer stop()
	src, to := newSource(t, e.Clock, replica, 400), newStore(t, e.Clock)
	server := NewServer(ServerConfig{Env: e, Source: func(uint64) Source { return src }, Limiter: NewLimiter(e.Clock, 100<<20)})
	defer server.Stop()
	addrs := map[int32]string{}
	start := func(id int32, serve func(context.Context, int32, string, []byte) ([]byte, error)) *peer.Peers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		addrs[id] = l.Addr().String()
		p, err := peer.Start(peer.Config{
			Listen: l,
			Identity: func() peer.Identity {
				return peer.Identity{ClusterID: "c", BrokerID: id, Incarnation: strconv.Itoa(int(id)), Nonce: uint64(id)}
			},
			Resolve: func(id int32) (string, bool) { a, ok := addrs[id]; return a, ok },
			Receive: func(int32, *multiraft.Packet) {},
			Serve:   serve,
		})
		must(t, err)
		return p
	}
	a := start(1, server.Serve)
	defer a.Stop()
	b := start(2, func(context.Context, int32, string, []byte) ([]byte, error) { return nil, nil })
	defer b.Stop()
	client := NewClient(ClientConfig{Env: e, Caller: b.Bulk(), Limiter: NewLimiter(e.Clock, 0)})
	index, err := client.Run(context.Background(), newInstaller(t, to), 1, group, nil)
	must(t, err)
	src.sameAs(t, to, index)
}
