package controller

import (
	"context"
	"fmt"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/plan"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// overviewMoves is how many moves beyond those under way an overview plans, and overviewOrders how many orders of replicas and
	// transfers it lists.
	overviewMoves  = 100
	overviewOrders = 200
)

// observed is what the loop has seen, for those who look at it from outside. Nothing in it is changed any more.
type observed struct {
	view  plan.View
	sizes []map[uint64]int64
	moves map[uint64]progress
}

// progress is what is known of a move beside the state.
type progress struct {
	done, total int64
	waiting     string
}

// observe asks the loop what it has seen. Without a loop there is only who is alive.
func (c *Controller) observe(ctx context.Context) (o observed) {
	if d := c.driving(); d != nil && d.ask(ctx, func() { o = d.observed() }) {
		return o
	}
	s := c.State()
	tuned := c.cfg.tuning(s)
	return observed{view: plan.View{State: s, Alive: c.aliveOf(s), ReplaceAfter: tuned.ReplaceAfter, MaxMoves: tuned.Parallel}}
}

func (d *driver) observed() observed {
	now := d.cfg.Env.Now()
	o := observed{view: d.view(now, d.desk.State()), sizes: d.sizes(), moves: map[uint64]progress{}}
	for id, m := range d.movers {
		p := progress{waiting: m.waiting}
		for _, r := range m.installs {
			p.done += r.install.Done
			p.total += r.install.Total
		}
		o.moves[id] = p
	}
	return o
}

// overview plans what comes next and changes nothing. It costs O(replicas), and is made for one asker at a time.
func (c *Controller) overview(ctx context.Context) (Response, *runnelv1.Error) {
	select {
	case c.overviews <- struct{}{}:
		c.cfg.Env.Resumed()
		defer func() { <-c.overviews }()
	case <-ctx.Done():
		c.cfg.Env.Resumed()
		return Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "gave up waiting for other overviews: %v", context.Cause(ctx))
	}
	if _, err := c.confirmed(ctx); err != nil {
		return Response{}, err
	}
	o := c.observe(ctx)
	v := o.view
	s := v.State
	v.Leaders, v.Bytes = leadersOf(s, c.cfg.Leader), mergeSizes(o.sizes)
	a := OverviewAnswer{Dead: map[int32]int64{}, ReplaceAfterMS: v.ReplaceAfter.Milliseconds(), Quarantined: known(s, v.Quarantined), Recoveries: s.Recoveries}
	for id, silent := range v.DeadFor {
		a.Dead[id] = silent.Milliseconds()
	}
	for ref := range s.Moves() {
		a.Moves = append(a.Moves, showMove(ref, o.moves[ref.Move.ID], v.Bytes))
	}
	// The limits of moves at a time would hide what comes after those under way.
	v.MaxMoves, v.MaxPerBroker = len(a.Moves)+overviewMoves, 0
	a.Plan = plan.Next(v)
	shorten(&a.Plan)
	for _, id := range s.BrokerIDs() {
		if s.Brokers[id].Draining {
			a.Drains = append(a.Drains, plan.Drain(v, id))
		}
	}
	a.Spread = plan.Spread(v)
	return Response{Revision: s.Revision, ClusterID: s.ClusterID, Overview: &a}, nil
}

// shorten cuts the long lists of a plan that is only looked at.
func shorten(p *plan.Plan) {
	if n := len(p.Transfers); n > overviewOrders {
		p.Transfers = p.Transfers[:overviewOrders]
		p.Reasons = append(p.Reasons, fmt.Sprintf("%d leaders should move to their preferred brokers, of which %d are listed", n, overviewOrders))
	}
	if n := len(p.Preferred); n > overviewOrders {
		p.Preferred, p.PreferredReasons = p.Preferred[:overviewOrders], p.PreferredReasons[:overviewOrders]
		p.Reasons = append(p.Reasons, fmt.Sprintf("%d partitions should get another preferred leader, of which %d are listed", n, overviewOrders))
	}
}

func showMove(ref placement.MoveRef, seen progress, bytes map[uint64]int64) MoveProgress {
	p := &ref.Topic.Partitions[ref.Partition]
	m := MoveProgress{
		Topic: ref.Topic.Name, TopicID: ref.Topic.ID, Partition: ref.Partition, Move: *ref.Move,
		Done: seen.done, Total: seen.total, Waiting: seen.waiting,
	}
	for _, r := range p.Replicas {
		m.From = append(m.From, r.Broker)
	}
	after := placement.Partition{Replicas: p.Replicas, Move: &m.Move}
	if m.Move.Cancelled {
		after.Move = nil
	}
	for _, r := range after.Desired() {
		m.To = append(m.To, r.Broker)
	}
	if m.Total == 0 { // no broker has told yet, or another leader heard it
		m.Total = int64(len(m.Move.Adds)) * bytes[p.Group]
	}
	switch m.Move.Phase {
	case placement.PhaseLearner, placement.PhaseCaughtUp, placement.PhaseJoint, placement.PhaseLeft:
		m.Done = m.Total // all is installed
	}
	return m
}

// known leaves out the replicas that the state no longer has.
func known(s *placement.State, quarantined map[uint64]string) map[uint64]string {
	out := map[uint64]string{}
	if len(quarantined) == 0 {
		return out
	}
	for _, t := range s.Topics {
		for n := range t.Partitions {
			for _, r := range t.Partitions[n].All() {
				if why, bad := quarantined[r.ID]; bad {
					out[r.ID] = why
				}
			}
		}
	}
	return out
}

// leadersOf tells who leads each group, as far as this broker knows. It takes O(partitions).
func leadersOf(s *placement.State, leader func(group uint64) (int32, uint64, bool)) map[uint64]int32 {
	out := map[uint64]int32{}
	if leader == nil {
		return out
	}
	for _, t := range s.Topics {
		for n := range t.Partitions {
			group := t.Partitions[n].Group
			if b, _, ok := leader(group); ok {
				out[group] = b
			}
		}
	}
	return out
}
