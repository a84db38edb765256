package broker

import (
	"context"
	"slices"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
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
)

// core is what a broker runs once it has an id.
type core struct {
	host  *multiraft.Host
	ctl   *controller.Controller
	agent *agent.Agent
}

// newCore makes host, controller and agent and opens the controller's replica, which meta.db knows by now.
func (b *Broker) newCore(replica uint64, founding bool) error {
	id := b.store.Identity()
	c := &core{}
	c.host = multiraft.New(multiraft.Config{
		Env: b.env, BrokerID: id.BrokerID, BootNonce: b.nonce, Store: b.store, Transport: b.peers, Registerer: b.reg,
		TickInterval: b.cfg.TickInterval, HeartbeatInterval: b.cfg.HeartbeatInterval, SilentAfter: b.cfg.SilentAfter,
	})
	c.ctl = controller.New(controller.Config{
		Env: b.env, BrokerID: id.BrokerID, Alive: c.host.Alive, Caller: view{b}, Log: b.log,
		ValidateConfig: func(config map[string]string) error {
			_, err := partition.ParseSettings(config)
			return err
		},
	})
	c.agent = agent.New(agent.Config{
		Env: b.env, BrokerID: id.BrokerID, Host: c.host, Store: b.store, Budget: b.budget,
		Metrics: partition.NewMetrics(b.reg), Log: b.log,
		Forget: func(ctx context.Context, replicas []uint64) error {
			_, err := c.ctl.Do(ctx, controller.ForgetReplicas{Broker: id.BrokerID, Replicas: replicas})
			return err
		},
	})
	if replica != firstController {
		// Until the state is replayed the founder is all that a new member knows.
		c.host.SetBrokers([]int32{firstBroker})
	}
	c.host.OnLeaders(b.changes.notify)
	members := map[uint64]int32{firstController: firstBroker, replica: id.BrokerID}
	group, err := c.host.StartGroup(multiraft.GroupConfig{
		Group: controllerGroup, Replica: replica, Members: members, Machine: c.ctl, Log: raftlog.LogOptions{}, Name: "controller", Found: founding,
	})
	if err != nil {
		return err
	}
	c.ctl.Attach(group)
	var asked []int32
	c.ctl.OnChange(func(s *placement.State) {
		if ids := others(s, id.BrokerID); !slices.Equal(ids, asked) {
			asked = ids
			c.host.SetBrokers(ids)
		}
		c.agent.Update(s)
		b.changes.notify()
	})
	c.agent.Start()
	c.host.Start()
	b.core.Store(c)
	return nil
}

// others are the ids of all brokers but this one, ascending.
func others(s *placement.State, self int32) []int32 {
	out := make([]int32, 0, len(s.Brokers))
	for id := range s.Brokers {
		if id != self {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
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
