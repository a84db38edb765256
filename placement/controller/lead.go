package controller

import (
	"context"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/plan"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	defaultProducerBlock = 1000
	defaultPartitions    = 1
	// planTries is how often a request is planned that other commands overtake.
	planTries = 5
)

// lead answers a request on the leader: plan, propose, wait until it is applied. On another broker it answers
// NOT_CONTROLLER with the leader, if known.
func (c *Controller) lead(ctx context.Context, r Request) (Response, *runnelv1.Error) {
	switch r := r.(type) {
	case LookUpTopic:
		return c.lookUp(ctx, r)
	case TransferLeadership:
		return c.transferLeadership(ctx, r)
	case Overview:
		return c.overview(ctx)
	}
	for try := 1; ; try++ {
		p, reasons, err := c.admit(r)
		if err != nil {
			return Response{}, err
		}
		if p == nil {
			// Nothing needs to change, or the change is refused, as far as the applied state tells. Make sure that this
			// state is the newest, and answer from it.
			if err := c.confirm(ctx); err != nil {
				return Response{}, err
			}
			resp, settled, err := c.answerUnchanged(r)
			if settled {
				return resp, err
			}
			continue
		}
		select {
		case o := <-p.done:
			c.cfg.Env.Resumed()
			if o.err.GetReason() == runnelv1.ErrorReason_ERROR_REASON_OUTDATED && try < planTries {
				continue // another command came between: plan anew
			}
			if o.err != nil {
				return Response{}, o.err
			}
			if !whole(r, o.state) {
				continue
			}
			return respond(r, o, reasons), nil
		case <-ctx.Done():
			c.cfg.Env.Resumed()
			return Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT,
				"gave up waiting for the controller group to commit the change (%v): look whether it took effect", context.Cause(ctx))
		}
	}
}

func respond(q Request, o outcome, reasons []string) Response {
	r := Response{
		Revision: o.state.Revision, ClusterID: o.state.ClusterID,
		Broker: o.result.Broker, ControllerReplica: o.result.ControllerReplica, Topic: o.result.Topic,
		FirstProducer: o.result.FirstProducer, Producers: o.result.Producers, Changes: o.result.Changes, Reasons: reasons,
	}
	if r.ControllerReplica != 0 { // FoundCluster and RegisterBroker
		for _, id := range o.state.BrokerIDs() {
			r.Brokers = append(r.Brokers, o.state.Brokers[id])
		}
	}
	showResult(q, o.state, &r)
	return r
}

// admit plans a request and queues its command. It answers no proposal if the command would change nothing and nothing
// is pending that could alter that.
func (c *Controller) admit(r Request) (*proposal, []string, *runnelv1.Error) {
	c.planning.Lock()
	defer c.planning.Unlock()
	for {
		c.mu.Lock()
		ahead, version, pending, leads := c.pipeline.ahead, c.pipeline.version, c.pipeline.pending(), c.pipeline.term != 0
		c.mu.Unlock()
		if !leads {
			return nil, nil, c.notController()
		}
		if pending >= maxPending {
			return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, "%d changes are waiting for the controller group: try again", pending)
		}
		cmd, reasons, err := c.plan(ahead, r)
		if err != nil {
			if pending == 0 {
				return nil, nil, nil // refused from the confirmed state
			}
			return nil, nil, err
		}
		if cmd == nil {
			return nil, nil, nil // answered from the confirmed state
		}
		next, res, applyErr := placement.Apply(ahead, cmd)
		if pending == 0 && (applyErr != nil || !res.Changed) {
			return nil, nil, nil
		}
		if placement.LevelOf(cmd) > ahead.Level() && (applyErr != nil || !res.Changed) {
			// It would stand in the log and not in the state: a broker that went back to an older release would stop at it.
			return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "other changes are under way: try again")
		}
		// With commands pending even a refused one goes into the log: whether it is refused depends on their fate.
		q, err := c.propose(cmd, version, next)
		if err != nil {
			return nil, nil, err
		}
		if q != nil {
			return q, reasons, nil
		}
	}
}

// propose queues a command, unless the planned state is no longer that of the version; then it answers nil.
func (c *Controller) propose(cmd placement.Command, version uint64, next *placement.State) (*proposal, *runnelv1.Error) {
	if err := c.readable(cmd, next); err != nil {
		return nil, err
	}
	b, err := placement.Encode(cmd)
	if err != nil {
		return nil, toError(err)
	}
	c.mu.Lock()
	if c.pipeline.version != version || c.pipeline.term == 0 {
		c.mu.Unlock()
		return nil, nil
	}
	c.pipeline.seq++
	q := &proposal{
		seq:  c.pipeline.seq,
		data: putPayload(c.nonce, c.pipeline.seq, c.cfg.Env.Wall().UnixMilli(), b),
		done: make(chan outcome, 1),
	}
	c.pipeline.push(q, next)
	g := c.group
	c.mu.Unlock()
	if g != nil { // else Attach wakes the group
		g.Wake()
	}
	return q, nil
}

// answerUnchanged answers a request whose command changes nothing in the confirmed state; settled is false if it
// would change something after all.
func (c *Controller) answerUnchanged(r Request) (resp Response, settled bool, err *runnelv1.Error) {
	s := c.State()
	cmd, reasons, err := c.plan(s, r)
	if err != nil {
		return Response{}, true, err
	}
	var res placement.Result
	var applyErr error
	if cmd != nil {
		_, res, applyErr = placement.Apply(s, cmd)
	}
	if applyErr != nil {
		return Response{}, true, toError(applyErr)
	}
	if res.Changed {
		return Response{}, false, nil
	}
	return respond(r, outcome{result: res, state: s}, reasons), true, nil
}

// confirm returns when the published state holds everything that was answered before the call (RULES 17).
func (c *Controller) confirm(ctx context.Context) *runnelv1.Error {
	g := c.attached()
	if g == nil {
		return c.notController()
	}
	done := make(chan error, 1)
	g.ReadIndex(func(_ uint64, err error) { done <- err })
	select {
	case err := <-done:
		c.cfg.Env.Resumed()
		if err == nil {
			return nil
		}
		e := runnelv1.AsError(err)
		// The read had no effect, whatever ended it.
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the controller could not confirm that it still leads: %s", e.Error())
	case <-ctx.Done():
		c.cfg.Env.Resumed()
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "gave up waiting for the controller to confirm that it still leads: %v", context.Cause(ctx))
	}
}

// confirmed is the state that holds everything answered before the call, on the leader.
func (c *Controller) confirmed(ctx context.Context) (*placement.State, *runnelv1.Error) {
	c.mu.Lock()
	leads := c.pipeline.term != 0
	c.mu.Unlock()
	if !leads {
		return nil, c.notController()
	}
	if err := c.confirm(ctx); err != nil {
		return nil, err
	}
	return c.State(), nil
}

func (c *Controller) lookUp(ctx context.Context, r LookUpTopic) (Response, *runnelv1.Error) {
	s, err := c.confirmed(ctx)
	if err != nil {
		return Response{}, err
	}
	t := s.Topics[r.Name]
	if t == nil {
		return Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q does not exist", r.Name)
	}
	return Response{Revision: s.Revision, ClusterID: s.ClusterID, Topic: t}, nil
}

// plan turns a request into the command that fulfils it on a state; nil if nothing is to be changed.
func (c *Controller) plan(s *placement.State, r Request) (placement.Command, []string, *runnelv1.Error) {
	switch r := r.(type) {
	case FoundCluster:
		return placement.FoundCluster{ClusterID: r.ClusterID, Broker: r.Broker}, nil, nil
	case RegisterBroker:
		if err := reads(s.Level(), r); err != nil {
			return nil, nil, err
		}
		return planRegister(s, r), nil, nil
	case CreateTopic:
		return c.planTopic(s, r)
	case DeleteTopic:
		return placement.DeleteTopic{Name: r.Name, ID: r.ID}, nil, nil
	case AlterTopicConfig:
		cmd := placement.AlterTopicConfig{Name: r.Name, ID: r.ID, Set: r.Set, Unset: r.Unset, By: r.By}
		if t := s.Topics[r.Name]; t != nil { // else Apply has the answer
			if err := c.validateConfig(cmd.Merged(t.Config)); err != nil {
				return nil, nil, err
			}
		}
		return cmd, nil, nil
	case AlterSettings:
		cmd, err := c.planSettings(s, r)
		return cmd, nil, err
	case AllocateProducers:
		count := r.Count
		if count == 0 {
			count = defaultProducerBlock
		}
		return placement.AllocateProducers{Broker: r.Broker, Count: count}, nil, nil
	case ownCommand:
		return r.cmd, nil, nil
	case ForgetReplicas:
		return placement.ForgetReplicas{Broker: r.Broker, Replicas: r.Replicas}, nil, nil
	}
	return c.planOperation(s, r)
}

func (c *Controller) planTopic(s *placement.State, r CreateTopic) (placement.Command, []string, *runnelv1.Error) {
	cmd := placement.CreateTopic{Name: r.Name, RequestID: r.RequestID, Config: r.Config}
	if s.ClusterID == "" || s.Topics[r.Name] != nil {
		return cmd, nil, nil // Apply has the answer, and it needs no plan
	}
	if err := c.validateConfig(r.Config); err != nil {
		return nil, nil, err
	}
	alive := c.aliveOf(s)
	partitions, rf := r.Partitions, r.RF
	if partitions == 0 {
		partitions = defaultPartitions
	}
	if rf == 0 {
		rf = plan.DefaultRF(s)
	}
	a, err := plan.Topic(s, alive, r.Name, partitions, rf)
	if err != nil {
		return nil, nil, toError(err)
	}
	cmd.Brokers = a.Brokers
	return cmd, a.Reasons, nil
}

// aliveOf tells which members are heard.
func (c *Controller) aliveOf(s *placement.State) map[int32]bool {
	alive := make(map[int32]bool, len(s.Brokers))
	for id := range s.Brokers {
		alive[id] = c.alive(id)
	}
	return alive
}

func (c *Controller) validateConfig(config map[string]string) *runnelv1.Error {
	if c.cfg.ValidateConfig == nil || len(config) == 0 {
		return nil
	}
	if err := c.cfg.ValidateConfig(config); err != nil {
		e := runnelv1.AsError(err)
		if e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_INTERNAL {
			return invalid("%v", err)
		}
		return e
	}
	return nil
}
