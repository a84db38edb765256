package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// callTimeout bounds one forwarded call: a broker that hangs must not use up the caller's whole time.
	callTimeout = 3 * time.Second
	firstPause  = 20 * time.Millisecond
	maxPause    = 250 * time.Millisecond
	// catchUpWait bounds how long an answer waits for this broker's own state to hold what was done elsewhere.
	catchUpWait = time.Second
)

// Do has a request done by the controller group's leader, wherever it is, and answers when the change is committed.
// It tries again, within ctx, while there is no leader or it moves; a request that may have taken effect is sent again
// only if that is harmless: CreateTopic carries a request id and finds its own work, DeleteTopic names the topic's id, and so
// on. When Do has answered, State on this broker holds the change, unless this broker lags more than a second.
//
// The error is a *runnelv1.Error: definite if the request was refused, retriable if it had no effect for want of a
// leader within ctx, indeterminate if it may have had one.
func (c *Controller) Do(ctx context.Context, r Request) (Response, error) {
	switch q := r.(type) {
	case CreateTopic:
		if q.RequestID == "" {
			q.RequestID = fmt.Sprintf("%016x%016x", c.cfg.Env.Uint64(), c.cfg.Env.Uint64())
		}
		r = q
	}
	if name, pinned := pin(r); name != "" {
		resp, err := c.do(ctx, LookUpTopic{Name: name})
		if err != nil {
			return Response{}, err
		}
		r = pinned(resp.Topic)
	}
	resp, err := c.do(ctx, r)
	if err != nil {
		return Response{}, err
	}
	c.awaitRevision(ctx, resp.Revision)
	return resp, nil
}

func (c *Controller) do(ctx context.Context, r Request) (Response, *runnelv1.Error) {
	var (
		route  route
		unsure bool // an earlier try may have taken effect
		pause  = firstPause
		began  = c.cfg.Env.Now()
	)
	for {
		if c.hasStopped() {
			return Response{}, stoppedError(c.cfg.BrokerID, unsure)
		}
		resp, err := c.try(ctx, r, &route)
		if err == nil {
			return resp, nil
		}
		switch err.GetKind() {
		case runnelv1.ErrorKind_ERROR_KIND_DEFINITE:
			if c.mayComeBack(r, err) && c.cfg.Env.Now().Sub(began) < silencePatience {
				break // a broker that is silent for a moment is not gone: try again
			}
			if _, del := r.(DeleteTopic); del && unsure && err.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC {
				return Response{}, nil // the earlier try deleted it
			}
			if _, cancel := r.(CancelMove); cancel && unsure && err.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE {
				return Response{}, nil // the earlier try cancelled it
			}
			if unsure {
				return Response{}, &runnelv1.Error{
					Kind: runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, Reason: err.GetReason(),
					Message: "an earlier try may have made the change, look whether it did; the last one was refused: " + err.GetMessage(),
				}
			}
			return Response{}, err
		case runnelv1.ErrorKind_ERROR_KIND_RETRIABLE:
		default:
			unsure = true
			if !r.repeatable() {
				return Response{}, err
			}
		}
		if route.fresh { // another broker was named: ask it at once
			continue
		}
		if !c.pause(ctx, pause) {
			return Response{}, gaveUp(ctx, err, unsure)
		}
		pause = min(2*pause, maxPause)
	}
}

// silencePatience is how long a topic waits for brokers that are members but silent. On a busy machine a broker is silent for a
// second now and then.
const silencePatience = 3 * time.Second

// mayComeBack tells whether there would be enough brokers, or more known of them, if all members were alive.
func (c *Controller) mayComeBack(r Request, err *runnelv1.Error) bool {
	switch err.GetReason() {
	case runnelv1.ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS:
	case runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE: // or one of which nothing is heard
		_, settings := r.(AlterSettings)
		return settings
	default:
		return false
	}
	s := c.State()
	switch q := r.(type) {
	case CreateTopic:
		return q.RF <= len(s.Brokers)
	case SetReplicationFactor:
		return q.RF <= len(s.Brokers)
	case AddPartitions:
		t := s.Topics[q.Topic]
		return t != nil && t.ReplicationFactor() <= len(s.Brokers)
	case MovePartition:
		return true
	}
	return false
}

func (c *Controller) hasStopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

func stoppedError(broker int32, unsure bool) *runnelv1.Error {
	e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_STOPPING, "broker %d is stopping: ask another one", broker)
	if unsure {
		e.Kind = runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE
	}
	return e
}

func gaveUp(ctx context.Context, last *runnelv1.Error, unsure bool) *runnelv1.Error {
	if last.GetReason() == runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE { // a controller answered that it is under way
		return last
	}
	if unsure {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT,
			"the change may or may not have been made (%v): look whether it was, and try again; last answer: %s", context.Cause(ctx), last.Error())
	}
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
		"no controller answered in time (%v), nothing was changed: try again; last answer: %s", context.Cause(ctx), last.Error())
}

// pause waits for d, half of it drawn at random; false if ctx ended.
func (c *Controller) pause(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	t := c.cfg.Env.AfterFunc(d/2+time.Duration(c.cfg.Env.Int64N(int64(d/2)+1)), func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
	case <-ctx.Done():
	}
	c.cfg.Env.Resumed()
	return ctx.Err() == nil
}

// route remembers, over the tries of one request, whom to ask.
type route struct {
	hint  int32 // named by the last answer; 0 if none
	fresh bool  // the hint is new and not paid for with a pause yet
	last  int32 // asked last
	turn  int   // of the round over brokers when nobody knows a leader
}

// try asks once: this broker if it leads, else the most likely other one.
func (c *Controller) try(ctx context.Context, r Request, rt *route) (Response, *runnelv1.Error) {
	paid := !rt.fresh
	rt.fresh = false
	var known int32
	if g := c.attached(); g != nil {
		st := g.Status()
		if st.Session {
			rt.hint = 0
			return c.lead(ctx, r)
		}
		known = st.LeadBroker
	}
	to := c.target(rt, known)
	if to == 0 {
		return Response{}, c.notController()
	}
	rt.last, rt.hint = to, 0
	resp, err := c.forward(ctx, to, r)
	if err.GetReason() == runnelv1.ErrorReason_ERROR_REASON_NOT_CONTROLLER {
		if id := err.GetLeaderId(); id != 0 && id != to && id != c.cfg.BrokerID {
			rt.hint = id
			rt.fresh = paid // one free step a pause, or two brokers that name each other would be asked in a loop
		}
	}
	return resp, err
}

// target chooses whom to ask: the broker an answer named, the one this broker believes to lead, unless it was just
// asked in vain, and else the others in turn, voters and those alive first.
func (c *Controller) target(rt *route, known int32) int32 {
	if rt.hint != 0 {
		return rt.hint
	}
	if known != 0 && known != c.cfg.BrokerID && known != rt.last {
		return known
	}
	s := c.State()
	var others []int32
	add := func(want func(r placement.Replica) bool) {
		for _, r := range s.Controller {
			if r.Broker != c.cfg.BrokerID && want(r) && !slices.Contains(others, r.Broker) {
				others = append(others, r.Broker)
			}
		}
	}
	add(func(r placement.Replica) bool { return !r.Learner && c.alive(r.Broker) })
	add(func(r placement.Replica) bool { return c.alive(r.Broker) })
	add(func(placement.Replica) bool { return true })
	if len(others) == 0 {
		return 0
	}
	to := others[rt.turn%len(others)]
	rt.turn++
	return to
}

func (c *Controller) forward(ctx context.Context, to int32, r Request) (Response, *runnelv1.Error) {
	body, err := encodeRequest(r)
	if err != nil {
		return Response{}, runnelv1.AsError(err)
	}
	if c.cfg.Caller == nil {
		return Response{}, c.notController()
	}
	ctx, cancel := c.cfg.Env.Within(ctx, callTimeout)
	defer cancel()
	answer, err := c.cfg.Caller.Call(ctx, to, Method, body)
	if err != nil {
		return Response{}, runnelv1.AsError(err)
	}
	resp, err := DecodeResponse(answer)
	return resp, runnelv1.AsError(err)
}

// ServeFrom is Serve for a request that came from another process: from is the broker that the handshake found at its other end, or 0 for
// one that belongs to no cluster. What may not be asked from there is refused.
func (c *Controller) ServeFrom(ctx context.Context, from int32, body []byte) ([]byte, error) {
	r, err := decodeRequest(body)
	if err != nil {
		return nil, err
	}
	if e := c.mayAsk(from, r); e != nil {
		return nil, e
	}
	if from <= 0 {
		// A broker that joins asks those that gossip has told it of. The leader may not be among them: news of it may come half a minute later.
		resp, err := c.Do(ctx, r)
		if err != nil {
			return nil, err
		}
		return encodeResponse(resp)
	}
	return c.answer(ctx, r)
}

// mayAsk refuses what a broker may not ask: one that belongs to no cluster may ask to join and no more, and a member speaks for itself
// alone. What its clients ask, a member passes on, and that one without an id wants to join.
func (c *Controller) mayAsk(from int32, r Request) *runnelv1.Error {
	var of int32 // the broker that the request is of
	switch r := r.(type) {
	case RegisterBroker:
		if r.Broker.ID == 0 {
			return nil
		}
		of = r.Broker.ID
	case AllocateProducers:
		of = r.Broker
	case ForgetReplicas:
		of = r.Broker
	case FoundCluster:
		of = c.cfg.BrokerID // a founder asks itself
	default:
		of = from
	}
	switch {
	case from <= 0:
		return invalid("only a broker of the cluster may ask the controller for anything but to join")
	case of != from:
		return invalid("broker %d asked the controller for a %T of broker %d: each asks for itself", from, r, of)
	}
	return nil
}

// Serve answers a request that another broker forwarded (Method). It never forwards again: a broker that does not lead
// answers NOT_CONTROLLER with the leader, if known. The error is a *runnelv1.Error.
func (c *Controller) Serve(ctx context.Context, body []byte) ([]byte, error) {
	r, err := decodeRequest(body)
	if err != nil {
		return nil, err
	}
	return c.answer(ctx, r)
}

func (c *Controller) answer(ctx context.Context, r Request) ([]byte, error) {
	resp, e := c.lead(ctx, r)
	if e != nil {
		return nil, e
	}
	return encodeResponse(resp)
}

func encodeResponse(resp Response) ([]byte, error) {
	b, err := json.Marshal(resp)
	if err != nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "the answer could not be encoded: %v", err)
	}
	return b, nil
}

type revisionWaiter struct {
	revision uint64
	reached  chan struct{}
}

// awaitRevision waits until this broker's state is at the revision, so that the one who asked can read here what was
// done elsewhere. It gives up after catchUpWait: the answer is true all the same.
func (c *Controller) awaitRevision(ctx context.Context, revision uint64) {
	c.mu.Lock()
	if c.group == nil || c.stopped || c.State().Revision >= revision {
		c.mu.Unlock()
		return
	}
	w := revisionWaiter{revision: revision, reached: make(chan struct{})}
	c.waiters = append(c.waiters, w)
	c.mu.Unlock()
	over := make(chan struct{})
	t := c.cfg.Env.AfterFunc(catchUpWait, func() { close(over) })
	defer t.Stop()
	select {
	case <-w.reached:
		c.cfg.Env.Resumed()
		return
	case <-over:
	case <-ctx.Done():
	}
	c.cfg.Env.Resumed()
	c.mu.Lock()
	c.waiters = slices.DeleteFunc(c.waiters, func(x revisionWaiter) bool { return x.reached == w.reached })
	c.mu.Unlock()
}
