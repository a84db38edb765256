package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement/controller"
	"github.com/runnel-io/runnel/rpc/peer"
)

// lone runs a broker that the test configured.
func lone(t *testing.T, cfg broker.Config) *broker.Broker {
	t.Helper()
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Abort(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func ready(t *testing.T, b *broker.Broker) {
	t.Helper()
	brokertest.Eventually(t, func() bool { return b.Ready() == nil }, func() string { return b.Ready().Error() })
}

// wantsNotToJoin waits until a broker says why it does not join, with what.
func wantsNotToJoin(t *testing.T, b *broker.Broker, what string) {
	t.Helper()
	why := ""
	brokertest.Eventually(t, func() bool {
		if err := b.Ready(); err != nil {
			why = err.Error()
		}
		return b.ID() != 0 || strings.Contains(why, what)
	}, func() string { return fmt.Sprintf("it does not say %q: %s", what, why) })
	if b.ID() != 0 {
		t.Errorf("it is broker %d of another cluster now", b.ID())
	}
}

// The address that a member tells, or that was a member's, is that of another cluster's broker.
func TestABrokerJoinsNoOtherClusterThanItMeans(t *testing.T) {
	t.Parallel()
	other := brokertest.Lone(t)
	of := lone(t, other)
	ready(t, of)
	member := brokertest.Lone(t)
	member.AdvertisePeer = other.PeerListen
	ready(t, lone(t, member))
	joiner := brokertest.Lone(t)
	joiner.Seeds = []string{member.GossipListen}
	b := lone(t, joiner)
	wantsNotToJoin(t, b, fmt.Sprintf("broker 1 of cluster %q answered", of.State().ClusterID))
	if n := len(of.State().Brokers); n != 1 {
		t.Errorf("the other cluster has %d brokers: it made a member of one that did not mean it", n)
	}
}

// Whatever an answer says, the broker writes no other cluster than the one that it means into its data folder.
func TestABrokerBelievesNoAnswerOfAnotherCluster(t *testing.T) {
	t.Parallel()
	member := brokertest.Lone(t)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", "0"))
	if err != nil {
		t.Fatal(err)
	}
	member.AdvertisePeer = l.Addr().String()
	m := lone(t, member)
	ready(t, m)
	answer, err := json.Marshal(controller.Response{ClusterID: "another", Broker: 7, ControllerReplica: 9})
	if err != nil {
		t.Fatal(err)
	}
	impostor(t, l, m.State().ClusterID, answer)
	joiner := brokertest.Lone(t)
	joiner.Seeds = []string{member.GossipListen}
	wantsNotToJoin(t, lone(t, joiner), "another")
}

// impostor answers at l as broker 1 of a cluster, and every call with the same.
func impostor(t *testing.T, l net.Listener, cluster string, answer []byte) {
	t.Helper()
	p, err := peer.Start(peer.Config{
		Listen: l,
		Identity: func() peer.Identity {
			return peer.Identity{ClusterID: cluster, BrokerID: 1, Incarnation: "x", Nonce: 1}
		},
		Resolve: func(int32) (string, bool) { return "", false },
		Receive: func(int32, *multiraft.Packet) {},
		Serve:   func(context.Context, int32, string, []byte) ([]byte, error) { return answer, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
}
