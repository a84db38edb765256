package main

import (
	"context"
	"fmt"
	"slices"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// ids are the broker ids of the cluster's machines, by their addresses. Of a machine that lost its disk it is the newest.
func (r *run) ids(ctx context.Context) (map[int32]*machine, error) {
	list, err := r.cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return nil, err
	}
	out := map[int32]*machine{}
	for _, m := range r.machines {
		if !m.member.Load() {
			continue
		}
		newest := int32(0)
		for _, b := range list.GetBrokers() {
			if b.GetAddress() == m.Address() {
				newest = max(newest, b.GetId())
			}
		}
		if newest > 0 {
			out[newest] = m
		}
	}
	return out, nil
}

// idOf is a machine's broker id.
func (r *run) idOf(ctx context.Context, m *machine) (int32, error) {
	ids, err := r.ids(ctx)
	if err != nil {
		return 0, err
	}
	for id, x := range ids {
		if x == m {
			return id, nil
		}
	}
	return 0, fmt.Errorf("broker %d is not one of the cluster", m.Number)
}

// unwhole says what keeps the cluster from having all copies of all partitions on disks that were not lost; empty if nothing does.
func (r *run) unwhole(ctx context.Context) string {
	ids, err := r.ids(ctx)
	if err != nil {
		return err.Error()
	}
	members := 0
	for _, m := range r.machines {
		if m.member.Load() {
			members++
		}
	}
	if len(ids) != members {
		return fmt.Sprintf("%d of %d machines are brokers of the cluster", len(ids), members)
	}
	p, err := r.cl.Admin().Plan(ctx, &runnelv1.PlanRequest{})
	switch {
	case err != nil:
		return err.Error()
	case len(p.GetQuarantined()) > 0:
		q := p.GetQuarantined()[0]
		return fmt.Sprintf("the replica of %s/%d on broker %d is quarantined: %s", q.GetTopic(), q.GetPartition(), q.GetBroker(), q.GetReason())
	case len(p.GetUnderWay()) > 0:
		m := p.GetUnderWay()[0]
		return fmt.Sprintf("%s/%d moves to %v: %s %s", m.GetTopic(), m.GetPartition(), m.GetTo(), m.GetPhase(), m.GetWaiting())
	case len(p.GetBlocked()) > 0:
		return "blocked: " + p.GetBlocked()[0].GetReason()
	}
	for _, t := range r.topics {
		d, err := r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: t.Name})
		if err != nil {
			return err.Error()
		}
		for _, part := range d.GetPartitions() {
			if why := unwholePartition(part, ids); why != "" {
				return fmt.Sprintf("%s/%d %s", t.Name, part.GetPartition(), why)
			}
		}
	}
	return ""
}

func unwholePartition(p *runnelv1.PartitionDescription, ids map[int32]*machine) string {
	const copies = 3
	if n := len(p.GetReplicas()); n != copies || len(p.GetLearners()) > 0 {
		return fmt.Sprintf("has %d replicas and %d learners", n, len(p.GetLearners()))
	}
	if p.GetLeader() <= 0 {
		return "has no leader: " + p.GetReason()
	}
	for _, id := range p.GetReplicas() {
		if ids[id] == nil {
			return fmt.Sprintf("has a replica on broker %d, which is gone", id)
		}
		if !slices.Contains(p.GetInSync(), id) {
			return fmt.Sprintf("has a replica on broker %d that is behind: %s", id, p.GetReason())
		}
	}
	return ""
}
