package broker

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/agent"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// controllerGroup is the id of the controller's Raft group, firstController its founder's replica.
const (
	controllerGroup = 1
	firstController = 1
	firstBroker     = 1

	// stateWithin bounds the wait for the controller's newest state at a start. Without a quorum of the controller it never
	// comes, and partitions must still be served then.
	stateWithin = 3 * time.Second
)

// core is what a broker runs once it has an id.
type core struct {
	host  *multiraft.Host
	ctl   *controller.Controller
	agent *agent.Agent
	ships *catchup.Server // of this broker's replicas, to others

	leaving leaving

	own  atomic.Pointer[multiraft.Group] // this broker's replica of the controller group, as it was started last
	look chan struct{}                   // has room for one: keepController is to look at once

	fresh atomic.Bool // the state was as new as the controller's once

	mu    sync.Mutex
	heard []int32 // brokers that heartbeats are exchanged with
}

// newCore makes host, controller and agent and opens the controller's replica, which meta.db knows by now.
func (b *Broker) newCore(replica uint64, founding bool) error {
	id := b.store.Identity()
	c := &core{look: make(chan struct{}, 1)}
	c.host = multiraft.New(multiraft.Config{
		Env: b.env, BrokerID: id.BrokerID, BootNonce: b.nonce, Store: b.store, Transport: b.peers, Registerer: b.reg,
		Leaving:      func(id int32) bool { return c.leaving.is(id, b.env.Now()) },
		TickInterval: b.cfg.TickInterval, HeartbeatInterval: b.cfg.HeartbeatInterval, SilentAfter: b.cfg.SilentAfter,
	})
	c.ctl = controller.New(controller.Config{
		Env: b.env, BrokerID: id.BrokerID, Caller: view{b}, Log: b.log, Audit: b.audit, Registerer: b.reg,
		ValidateConfig: func(config map[string]string) error {
			_, err := partition.ParseSettings(config)
			return err
		},
		Alive:  func(id int32) bool { return c.host.Alive(id) && !c.leaving.is(id, b.env.Now()) },
		Level:  b.commandLevel,
		Leader: c.host.Leader, Automatic: !b.cfg.ManualPlacement, ReplaceAfter: b.cfg.ReplaceAfter, Parallel: b.cfg.RecoveryParallel,
		MuteAfterReturn: b.cfg.MuteAfterReturn, ValidateSettings: b.validateSettings, Tune: tune,
		Stopped: c.lookAtOnce,
	})
	c.agent = agent.New(agent.Config{
		Env: b.env, BrokerID: id.BrokerID, Host: c.host, Store: b.store, Budget: b.budget,
		Metrics: partition.NewMetrics(b.reg), Log: b.log, Registerer: b.reg, DiskFull: b.disk.full,
		Catchup: b.catchup.client, Boot: b.nonce, SegmentBytes: b.cfg.SegmentBytes,
		Series: agent.Series{Partitions: b.cfg.PartitionMetrics, Kafka: b.cfg.KafkaMetrics},
		StateCurrent: func() (bool, string) {
			if c.fresh.Load() {
				return true, ""
			}
			return c.ctl.CaughtUp()
		},
		Forget: func(ctx context.Context, replicas []uint64) error {
			_, err := c.ctl.Do(ctx, controller.ForgetReplicas{Broker: id.BrokerID, Replicas: replicas})
			return err
		},
	})
	b.hear(c) // until the state is replayed, whom gossip knows
	c.host.OnLeaders(b.changes.notify)
	if err := b.openController(c, replica, founding); err != nil {
		return err
	}
	c.ships = b.catchup.newShips(b.env, func(id uint64) catchup.Source {
		if id == controllerGroup {
			return c.ctl
		}
		return c.agent.Source(id)
	})
	c.ctl.OnChange(func(s *placement.State) {
		b.hear(c)
		b.follow(s)
		c.agent.Update(s)
		b.changes.notify()
		if expelled(s, id.BrokerID) {
			b.leave(errExpelled)
		}
	})
	c.agent.Start()
	c.host.Start()
	b.core.Store(c)
	return nil
}

// lookAtOnce has keepController look at this broker's replica of the controller group.
func (c *core) lookAtOnce() {
	select {
	case c.look <- struct{}{}:
	default:
	}
}

// hear exchanges heartbeats with every broker of the cluster that the state or gossip knows. The state alone is not enough: right
// after a start it may be so old that it lacks the brokers which lead now, and whoever is not heard gets no answers.
func (b *Broker) hear(c *core) {
	id := b.store.Identity()
	c.mu.Lock() // before the state is read: a list made from an older one must not be the last word
	defer c.mu.Unlock()
	s := c.ctl.State()
	known := map[int32]bool{}
	for other := range s.Brokers {
		known[other] = true
	}
	for _, m := range b.gossip.Members() {
		if m.ClusterID == id.ClusterID && m.BrokerID != 0 {
			known[m.BrokerID] = true
		}
	}
	delete(known, id.BrokerID)
	ids := slices.Sorted(maps.Keys(known))
	if !slices.Equal(ids, c.heard) {
		c.heard = ids
		c.host.SetBrokers(ids)
	}
}

// gossipChanged is called when members came or went.
func (b *Broker) gossipChanged() {
	if c := b.core.Load(); c != nil {
		b.hear(c)
		if _, ok := c.ctl.State().ControllerRecovered(); ok {
			c.lookAtOnce() // it may have to be told
		}
	}
	b.changes.notify()
}

// tick does each second what depends on time: retention and other decisions of leaders, and the free space of the disk.
func (b *Broker) tick(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			b.disk.look()
			if c := b.core.Load(); c != nil {
				c.agent.Tick(now)
				b.refuseBesideForeigners(c)
			}
		}
	}
}

// refuseBesideForeigners closes the gate of a cluster of one that hears of another cluster: its seeds were set after it had
// founded its own, and what clients write here would never be part of the other (rule 28). Bigger clusters go on: one
// stranger with wrong seeds must not stop them.
func (b *Broker) refuseBesideForeigners(c *core) {
	d := b.gossip.Decide()
	foreign := d.Conflict && len(c.ctl.State().Brokers) == 1
	if foreign == b.foreign {
		return
	}
	b.foreign = foreign
	if foreign {
		b.log.Error("this cluster of one refuses service", "component", "broker", "reason", d.Reason)
		b.gate.close(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, d.Reason)
		b.setPhase(d.Reason)
		b.ready.Store(false)
		return
	}
	b.setPhase("")
	b.gate.open()
}
