package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/runnel-io/runnel/gossip"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// run takes the broker from "listening" to "member", then keeps its tickers going until Stop.
func (b *Broker) run() {
	defer close(b.done)
	var keeper sync.WaitGroup
	defer keeper.Wait()
	if err := b.enter(b.ctx, &keeper); err != nil {
		if b.ctx.Err() == nil {
			b.fail(err)
		}
		return
	}
	b.tick(b.ctx)
}

// enter makes the broker a member of its cluster and opens the client port's gate. What it leaves running is keeper's and ends with ctx.
func (b *Broker) enter(ctx context.Context, keeper *sync.WaitGroup) error {
	id := b.store.Identity()
	founding := false
	noted := b.notedAddress()
	if id.ClusterID != "" {
		if err := b.refuseCopy(ctx, noted); err != nil {
			return err
		}
	}
	b.noteAddress(noted)
	if id.ClusterID == "" {
		var err error
		if founding, err = b.becomeMember(ctx); err != nil {
			return err
		}
		id = b.store.Identity()
	}
	replica, err := b.controllerReplica(ctx)
	if err != nil {
		return err
	}
	if err := b.newCore(replica, founding); err != nil {
		return err
	}
	keeper.Go(func() { b.keepController(ctx, replica) })
	if err := b.gossip.SetMeta(b.meta()); err != nil {
		return err
	}
	b.setPhase("waiting for the controller's state")
	if err := b.register(ctx); err != nil {
		return err
	}
	b.setPhase("")
	b.openServices()
	b.log.Info("member of the cluster", "component", "broker", "cluster", id.ClusterID, "broker", id.BrokerID)
	return nil
}

// becomeMember founds a cluster or joins one, as gossip.Decide says, and writes the identity. It answers whether it founded.
func (b *Broker) becomeMember(ctx context.Context) (founded bool, err error) {
	started := b.env.Now()
	retry := time.NewTicker(200 * time.Millisecond)
	defer retry.Stop()
	said := ""
	for {
		changed := b.changes.changed()
		d := gossip.Decide(b.cfg.Seeds, b.gossip.Resolved(), b.gossip.Self(), b.gossip.Members())
		reason := d.Reason
		switch d.Action {
		case gossip.Found:
			if b.leftovers > 0 {
				return false, fmt.Errorf("%s holds the data of %d replicas but meta.db, which says whose they are, is lost: restore it, or move the folder away to start an empty cluster", b.cfg.DataDir, b.leftovers)
			}
			// Rule 28: whoever knows a cluster gets time to be heard of, except where there is nobody to hear of.
			if until := started.Add(b.cfg.FoundWait); len(b.cfg.Seeds) > 0 && b.env.Now().Before(until) {
				reason = fmt.Sprintf("founding a cluster at %s unless a broker that knows one is heard of before (cluster.found.wait)", until.UTC().Format(time.TimeOnly))
				break
			}
			return true, b.found()
		case gossip.Join:
			joined, err := b.join(ctx, d)
			if err == nil {
				return false, joined
			}
			reason = fmt.Sprintf("joining cluster %s: %v", d.ClusterID, err)
		}
		b.setPhase(reason)
		if reason != said {
			b.log.Info("not a member of a cluster yet", "component", "broker", "reason", reason)
			said = reason
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-changed:
		case <-retry.C:
		}
	}
}

// found makes this broker the first of a new cluster. The identity is durable before anyone is told.
func (b *Broker) found() error {
	id := b.store.Identity()
	id.ClusterID, id.BrokerID = newClusterID(b.env.Uint64(), b.env.Uint64()), firstBroker
	if err := b.store.SetIdentity(id); err != nil {
		return err
	}
	b.log.Info("founding a cluster", "component", "broker", "cluster", id.ClusterID)
	return b.createController()
}

func newClusterID(a, b uint64) string { return fmt.Sprintf("%016x%016x", a, b) }

// join asks a member for admission. fatal is an error that no retry mends; err one that the next try may not meet.
func (b *Broker) join(ctx context.Context, d gossip.Decision) (fatal, err error) {
	body, fatal := controller.EncodeRequest(controller.RegisterBroker{Broker: b.registration(), Level: placement.Level})
	if fatal != nil {
		return fatal, nil
	}
	err = fmt.Errorf("no member that can be asked is heard of")
	for _, m := range d.Via {
		var answer []byte
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		answer, err = b.peers.CallAddr(call, m.Peer, d.ClusterID, methodController, body)
		cancel()
		if err != nil {
			continue
		}
		r, fatal := controller.DecodeResponse(answer)
		if fatal != nil {
			return fatal, nil
		}
		if r.ClusterID != d.ClusterID { // which only a person could undo, once it is written
			err = fmt.Errorf("the broker at %s answers for another cluster, %q", m.Peer, r.ClusterID)
			continue
		}
		if err := b.keepLeftovers(); err != nil {
			return nil, err // a registration is found again
		}
		// From here on the broker is a member, and as such is shipped the controller's log (controllerReplica). If it crashes before it
		// has that, it goes on there at its next start; if it crashes before this is durable, its incarnation finds the same id again.
		id := b.store.Identity()
		id.ClusterID, id.BrokerID = r.ClusterID, r.Broker
		return b.store.SetIdentity(id), nil
	}
	return nil, err
}

// registration is what the controller is told of this broker.
func (b *Broker) registration() placement.Registration {
	id := b.store.Identity()
	return placement.Registration{
		ID: id.BrokerID, Incarnation: id.Incarnation, ClientAddr: b.addrs.Client, PeerAddr: b.addrs.Peer,
		Rack: b.cfg.Rack, Version: Version(),
	}
}

// register writes the founding, and after every start what is new of this broker, such as its addresses. It waits until the controller's
// state here knows the broker: only then can it answer clients truly.
func (b *Broker) register(ctx context.Context) error {
	c := b.core.Load()
	id := b.store.Identity()
	for {
		changed := b.changes.changed()
		s := c.ctl.State()
		want := b.registration()
		have := s.Brokers[id.BrokerID]
		switch {
		case s.ClusterID == "" && id.BrokerID == firstBroker:
			if err := b.try(ctx, controller.FoundCluster{ClusterID: id.ClusterID, Broker: want}); err != nil {
				return err
			}
		case have == nil:
			b.setPhase("waiting for the controller's log to tell of this broker")
		case have.Incarnation != want.Incarnation:
			return fmt.Errorf("broker %d of cluster %s is another incarnation of this disk: empty the data folder to join as a new broker", id.BrokerID, id.ClusterID)
		default:
			return b.refresh(ctx)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// refresh registers this broker again, with what is new of it, and waits, for at most stateWithin, until the state here is as new as the
// answer: a topic that was made while this broker was away must not be denied. To register what is registered changes nothing. Where no
// controller answers, keepController goes on with it, and partitions are served meanwhile: clients may be told the old address for as long.
func (b *Broker) refresh(ctx context.Context) error {
	b.setPhase("asking the controller for its newest state")
	c := b.core.Load()
	asking, cancel := context.WithTimeout(ctx, stateWithin)
	defer cancel()
	r, err := c.ctl.Do(asking, controller.RegisterBroker{Broker: b.registration(), Level: placement.Level})
	switch why := runnelv1.AsError(err); {
	case err == nil:
	case noMember(why):
		return b.removed(err)
	case why.GetReason() == runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE:
		// It is there, and refuses: the log has what this release does not read, so the state here ends before it.
		return b.try(ctx, controller.RegisterBroker{Broker: b.registration(), Level: placement.Level})
	default:
		b.log.Warn("the controller does not answer: topics that are new may be unknown here for a while, and what is new of this broker elsewhere",
			"component", "broker", "error", err)
		return ctx.Err()
	}
	for {
		changed := b.changes.changed()
		if c.ctl.State().Revision >= r.Revision {
			c.fresh.Store(true)
			return nil
		}
		select {
		case <-asking.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// try sends a request until it is done, or refused for good: the founding definitely, or a registration since this broker is no member.
func (b *Broker) try(ctx context.Context, r controller.Request) error {
	for {
		changed := b.changes.changed()
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := b.core.Load().ctl.Do(call, r)
		cancel()
		if err == nil {
			return nil
		}
		why := runnelv1.AsError(err)
		if noMember(why) {
			return b.removed(err)
		}
		if _, founding := r.(controller.FoundCluster); founding && why.GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE {
			return err
		}
		b.setPhase(fmt.Sprintf("waiting for the controller: %v", err))
		again := time.NewTimer(200 * time.Millisecond)
		select {
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		case <-changed:
		case <-again.C:
		}
		again.Stop()
	}
}
