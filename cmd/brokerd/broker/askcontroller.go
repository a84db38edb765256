package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// askWithin bounds one question.
	askWithin = 5 * time.Second
	// maxAsked is how many members are asked in a row for the one that leads.
	maxAsked = 8
)

// askController asks the leader of the controller group, whoever it is, and answers which broker that is. It is for what has to work
// also while this broker's own replica does not.
func (b *Broker) askController(ctx context.Context, q controller.Request) (r controller.Response, leader int32, err error) {
	body, err := controller.EncodeRequest(q)
	if err != nil {
		return r, 0, err
	}
	queue := b.controllerMembers()
	asked := map[int32]bool{}
	err = errors.New("no member of the cluster that can be asked is heard of")
	for len(queue) > 0 && len(asked) < maxAsked && ctx.Err() == nil {
		id := queue[0]
		queue = queue[1:]
		if asked[id] {
			continue
		}
		asked[id] = true
		call, cancel := context.WithTimeout(ctx, askWithin)
		answer, e := b.peers.Call(call, id, methodController, body)
		cancel()
		if e == nil {
			r, e = controller.DecodeResponse(answer)
			return r, id, e
		}
		why := runnelv1.AsError(e)
		if noMember(why) {
			return r, id, &refusedError{why}
		}
		err = e
		if hint := why.GetLeaderId(); hint != 0 {
			queue = append([]int32{hint}, queue...)
		}
	}
	return r, 0, err
}

// askNewController asks which replica this broker shall have. After a recovery of the group by hand the old one may have a leader, too, until it is
// told: only a leader that knows of the recovery counts, if this broker knows of one or its own replica was given up. The old one never heard of
// brokers that joined since, and gives ids of its own.
func (b *Broker) askNewController(ctx context.Context, held uint64, lost string) (r controller.Response, leader int32, err error) {
	given := b.given.of(held) != 0
	if given {
		lost = "" // the new group never had it
	}
	r, leader, err = b.askController(ctx, controller.RegisterBroker{Broker: b.registration(), Replica: held, Lost: lost, Level: placement.Level})
	if (err == nil || refused(err)) && (given && !b.askGivenUp(ctx, held, leader) || !b.leadsOn(ctx, leader, r, err)) {
		return r, leader, fmt.Errorf("broker %d, which leads the old controller group, does not know of its recovery", leader)
	}
	return r, leader, err
}

// leadsOn tells whether whoever answered as the leader goes on from the newest recovery that this broker knows of.
func (b *Broker) leadsOn(ctx context.Context, leader int32, r controller.Response, err error) bool {
	mine, ok := b.recovered()
	switch {
	case !ok:
		return true
	case err == nil:
		return r.Revision >= mine.Revision // which no old one reaches: it jumped ahead
	}
	a, err := b.askRecovery(ctx, 0, leader)
	return err == nil && a.Recovery.Revision >= mine.Revision
}

// noMember tells whether the controller's leader, and nobody else can know, answered that this broker is none of the cluster: it was
// removed, or its id belongs to another data folder. Whatever else is answered, perhaps by a broker that cannot lead, may change.
func noMember(why *runnelv1.Error) bool {
	return why.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER
}

// refusedError is the controller's last word.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return "the controller says: " + e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// refused tells whether the controller refused this broker, which no retry changes.
func refused(err error) bool {
	var r *refusedError
	return errors.As(err, &r)
}

// controllerMembers are the brokers to ask for the leader of the controller group, the likeliest first.
func (b *Broker) controllerMembers() []int32 {
	self, s := b.ID(), b.state()
	rank := map[int32]int{}
	add := func(id int32, r int) {
		if old, known := rank[id]; id != 0 && (!known || r < old) {
			rank[id] = r
		}
	}
	for _, m := range b.gossip.Members() {
		if m.ClusterID == b.store.Identity().ClusterID {
			add(m.BrokerID, 2)
		}
	}
	for _, r := range s.Controller {
		if !r.Learner {
			add(r.Broker, 1)
		}
	}
	if c := b.core.Load(); c != nil {
		add(c.ctl.Leader(), 0)
	} else {
		delete(rank, self)
	}
	if held, _ := b.heldController(); b.given.of(held) != 0 {
		rank[b.given.of(held)] = -1
	}
	ids := make([]int32, 0, len(rank))
	for id := range rank {
		ids = append(ids, id)
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	slices.SortStableFunc(ids, func(a, c int32) int { return cmp.Compare(rank[a], rank[c]) })
	return ids
}
