package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/runnel-io/runnel/bench/proc"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// picture is the cluster at one moment.
type picture struct {
	plan    *runnelv1.PlanResponse
	brokers []*runnelv1.BrokerDescription
	// Replicas and leaders of the topic, by broker id.
	replicas, leaders map[int32]int
	leaderless        int
}

// look asks the controller for its plan, and any broker for what is where.
func (r *run) look(ctx context.Context) (*picture, error) {
	p := &picture{replicas: map[int32]int{}, leaders: map[int32]int{}}
	var err error
	if p.plan, err = r.cl.Admin().Plan(ctx, &runnelv1.PlanRequest{}); err != nil {
		return nil, err
	}
	b, err := r.cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return nil, err
	}
	p.brokers = b.GetBrokers()
	d, err := r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return nil, err
	}
	for _, part := range d.GetPartitions() {
		for _, id := range part.GetReplicas() {
			p.replicas[id]++
		}
		if l := part.GetLeader(); l > 0 {
			p.leaders[l]++
		} else {
			p.leaderless++
		}
	}
	return p, nil
}

// spread is the difference between the most and the least loaded of the brokers that may hold something.
func (p *picture) spread(of map[int32]int) int {
	lo, hi := -1, 0
	for _, b := range p.brokers {
		if !b.GetAlive() || b.GetDraining() {
			continue
		}
		n := of[b.GetId()]
		hi = max(hi, n)
		if lo < 0 || n < lo {
			lo = n
		}
	}
	return hi - max(lo, 0)
}

// unsettled says what is still to be done; empty if nothing is.
func (p *picture) unsettled() string {
	switch pl := p.plan; {
	case len(pl.GetUnderWay()) > 0:
		m := pl.GetUnderWay()[0]
		return fmt.Sprintf("%d moves under way, the first: %s/%d to brokers %v, %s, %s", len(pl.GetUnderWay()), m.GetTopic(), m.GetPartition(),
			m.GetTo(), m.GetPhase(), m.GetWaiting())
	case len(pl.GetMoves()) > 0 || len(pl.GetCancels()) > 0 || pl.GetWaiting() > 0:
		return fmt.Sprintf("%d moves planned: %s", len(pl.GetMoves())+int(pl.GetWaiting()), strings.Join(pl.GetReasons(), "; "))
	case len(pl.GetBlocked()) > 0:
		return "blocked: " + pl.GetBlocked()[0].GetReason()
	case len(pl.GetQuarantined()) > 0:
		return "quarantined: " + pl.GetQuarantined()[0].GetReason()
	case len(pl.GetOrders()) > 0 || len(pl.GetTransfers()) > 0:
		return fmt.Sprintf("%d orders and %d transfers of leaders planned", len(pl.GetOrders()), len(pl.GetTransfers()))
	case p.leaderless > 0:
		return fmt.Sprintf("%d partitions without a leader", p.leaderless)
	case p.spread(p.replicas) > 1 || p.spread(p.leaders) > 1:
		return fmt.Sprintf("replicas %v, leaders %v", p.replicas, p.leaders)
	}
	return ""
}

// idOf finds the broker id of a running process.
func (p *picture) idOf(b *proc.Broker) int32 {
	id := int32(0)
	for _, d := range p.brokers {
		if d.GetAddress() == b.Client {
			id = max(id, d.GetId()) // of a wiped one its new id, which is higher
		}
	}
	return id
}

// received is how many bytes of logs each running broker has received, by its number.
func (r *run) received(ctx context.Context) (map[int]float64, error) {
	out := map[int]float64{}
	for _, b := range r.cluster.Brokers {
		if !b.Running() {
			continue
		}
		n, err := b.Metric(ctx, "runnel_recovery_received_bytes_total")
		if err != nil {
			return nil, err
		}
		out[b.Number] = n
	}
	return out, nil
}

// moved is what was received between; a broker that was started anew counts from nothing.
func moved(before, after map[int]float64) float64 {
	sum := 0.0
	for b, n := range after {
		if was := before[b]; was <= n {
			n -= was
		}
		sum += n
	}
	return sum
}
