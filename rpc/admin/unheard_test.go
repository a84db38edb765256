package admin

import (
	"context"
	"testing"

	"github.com/runnel-io/runnel/partition/env"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Broker 3 leads t/0. Broker 1, which is asked, does not hear it, and broker 2 does: the partition is not without a leader, and nobody is told
// to give anything up.
func TestALeaderThatOnlyOthersHearIsToldOf(t *testing.T) {
	h := newHarness(t)
	delete(h.cluster.leaders, 10)
	h.cluster.dead[3] = true
	hears := &fakeCluster{st: h.cluster.st, leaders: map[uint64]int32{10: 3, 11: 2}, dead: map[int32]bool{}, asked: make(chan struct{}, 100)}
	second := newServer(Config{Controller: h.ctrl, Cluster: hears, Caller: h.caller, BrokerID: 2, Env: &env.Env{Clock: h.clock}}, h.others[2])
	f := h.caller.f
	h.caller.f = func(ctx context.Context, broker int32, body []byte) ([]byte, error) {
		if broker == 2 {
			return second.ServePartitionStatus(ctx, body)
		}
		return f(ctx, broker, body)
	}
	status := func() (leaderless, under string) {
		t.Helper()
		r, err := h.s.ClusterStatus(t.Context(), &runnelv1.ClusterStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return of0(r.GetLeaderless()), of0(r.GetUnderReplicated())
	}
	leaderless, under := status()
	if leaderless != "" || under != "broker 2 says that broker 3 leads it, which is not heard here: see to the network between them" {
		t.Errorf("leaderless: %q; under-replicated: %q", leaderless, under)
	}
	if r, err := h.s.DescribeTopic(t.Context(), &runnelv1.DescribeTopicRequest{Name: "t"}); err != nil || r.GetPartitions()[0].GetLeader() != 3 {
		t.Errorf("%v %v", r, err)
	}
	h.cluster.dead[3] = false // and does not say that it leads
	if leaderless, _ := status(); leaderless == "" {
		t.Error("broker 3 is asked itself, and broker 2 is believed")
	}
	h.cluster.dead[3] = true
	delete(hears.leaders, 10)
	if leaderless, _ := status(); leaderless == "" {
		t.Error("nobody knows of a leader, and it is not called leaderless")
	}
}
