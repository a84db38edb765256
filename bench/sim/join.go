package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	firstReplica = 1
	joinEvery    = 200 * time.Millisecond
	keepEvery    = 2 * time.Second // between two questions to the controller of a broker at rest
	keepSoon     = 500 * time.Millisecond
	askLimit     = 3 * time.Second
	maxAsked     = 8
)

// enter takes the broker from its start to a member and keeps its replica of the controller group, as cmd/brokerd/broker does. It runs
// on a goroutine of the boot and ends with it.
func (b *boot) enter() {
	c := b.m.c
	fail := func(err error) { c.w.After(0, func() { c.loseBoot(b, err) }) }
	founding := false
	if b.store.Identity().ClusterID == "" {
		if b.m.n == founder && !c.founded {
			c.founded, founding = true, true
			id := b.store.Identity()
			id.ClusterID, id.BrokerID = "sim", founder
			if err := b.store.SetIdentity(id); err != nil {
				fail(err)
				return
			}
		} else if err := b.join(); err != nil {
			fail(err)
			return
		}
	}
	b.id = b.store.Identity().BrokerID
	c.byBroker[b.id] = b.m
	replica, err := b.controllerReplica()
	if err == nil {
		err = b.core(replica, founding)
	}
	if err != nil {
		fail(err)
		return
	}
	b.register()
	b.keep(replica)
}

// sleep waits on the virtual clock.
func (b *boot) sleep(d time.Duration) {
	over := make(chan struct{})
	b.env.AfterFunc(d, func() { close(over) })
	select {
	case <-over:
	case <-b.ctx.Done():
	}
	b.env.Resumed()
}

func (b *boot) registration() placement.Registration {
	id := b.store.Identity()
	return placement.Registration{
		ID: id.BrokerID, Incarnation: id.Incarnation, ClientAddr: fmt.Sprintf("m%d:1", b.m.n), PeerAddr: fmt.Sprintf("m%d:2", b.m.n), Version: "sim",
	}
}

// join asks for admission until it is granted.
func (b *boot) join() error {
	for {
		r, _, err := b.askController(controller.RegisterBroker{Broker: b.registration(), Level: placement.Level})
		if err == nil {
			id := b.store.Identity()
			id.ClusterID, id.BrokerID = r.ClusterID, r.Broker
			return b.store.SetIdentity(id)
		}
		b.sleep(joinEvery)
	}
}

// askController asks brokers in turn for the one that leads the controller group.
func (b *boot) askController(q controller.Request) (r controller.Response, leader int32, err error) {
	c := b.m.c
	body, err := controller.EncodeRequest(q)
	if err != nil {
		return r, 0, err
	}
	var queue []*machine
	if b.ctl != nil {
		if m := c.byBroker[b.ctl.Leader()]; m != nil {
			queue = append(queue, m)
		}
	}
	from := int(c.w.Rand().Int64N(int64(len(c.machines))))
	for i := range c.machines {
		queue = append(queue, c.machines[(from+i)%len(c.machines)])
	}
	asked := map[*machine]bool{}
	err = errors.New("nobody answers")
	for len(queue) > 0 && len(asked) < maxAsked {
		m := queue[0]
		queue = queue[1:]
		if asked[m] || m.up == nil || m == b.m && b.ctl == nil {
			continue
		}
		asked[m] = true
		to := m.up.id
		ctx, cancel := b.env.Within(b.ctx, askLimit)
		answer, e := b.call(ctx, m, 0, controller.Method, body)
		cancel()
		if e == nil {
			r, err = controller.DecodeResponse(answer)
			return r, to, err
		}
		err = e
		if m := c.byBroker[runnelv1.AsError(e).GetLeaderId()]; m != nil {
			queue = append([]*machine{m}, queue...)
		}
	}
	return r, 0, err
}

// held is the newest replica of the controller group here, 0 if there is none, and why it can never run.
func (b *boot) held() (id uint64, lost string) {
	for _, r := range b.store.Replicas() {
		if r.Group == placement.ControllerGroup && r.Replica > id {
			id, lost = r.Replica, r.Quarantine
		}
	}
	return id, lost
}

// controllerReplica finds the replica to run, and gets one if there is none that can.
func (b *boot) controllerReplica() (uint64, error) {
	held, lost := b.held()
	switch {
	case held != 0 && lost == "":
		return held, nil
	case b.store.Identity().BrokerID == founder && len(b.store.Replicas()) == 0:
		return firstReplica, b.store.Create(placement.ControllerGroup, firstReplica, &raftpb.ConfState{Voters: []uint64{firstReplica}})
	}
	in := controllerInstall{b: b}
	for {
		r, leader, err := b.askController(controller.RegisterBroker{Broker: b.registration(), Replica: held, Lost: lost, Level: placement.Level})
		if err == nil && r.ControllerReplica > held {
			if err = in.install(r, leader); err == nil {
				return r.ControllerReplica, nil
			}
		}
		b.sleep(keepSoon)
	}
}

// controllerInstall is a replica of the controller group on its way here. What was received is kept over tries.
type controllerInstall struct {
	b  *boot
	id uint64
	in *raftlog.Installer
	n  int
}

func (x *controllerInstall) install(r controller.Response, leader int32) (err error) {
	b := x.b
	if x.in != nil && x.id != r.ControllerReplica {
		if err := x.in.Abort(); err != nil {
			return err
		}
		x.in = nil
	}
	if x.in == nil {
		x.id = r.ControllerReplica
		x.in, err = b.store.Install(placement.ControllerGroup, x.id)
		if errors.Is(err, raftlog.ErrReplicaExists) {
			x.in = nil
			return nil
		}
		if err != nil {
			x.in = nil
			return err
		}
	}
	sources := []int32{leader}
	for _, br := range r.Brokers {
		if br.ID != leader && br.ID != r.Broker {
			sources = append(sources, br.ID)
		}
	}
	from := sources[x.n%len(sources)]
	x.n++
	ctx, cancel := b.env.Within(b.ctx, 10*time.Second)
	defer cancel()
	client := catchup.NewClient(catchup.ClientConfig{Env: b.env, Caller: caller{b}, Log: b.env.Log})
	if _, err = client.Run(ctx, x.in, from, placement.ControllerGroup, nil); err != nil {
		if errors.Is(err, raftlog.ErrClosed) {
			x.in = nil
		}
		return err
	}
	x.in = nil
	return nil
}

// register founds the cluster's state, and waits until it knows this broker and is as new as the controller's.
func (b *boot) register() {
	c := b.m.c
	for b.ctl.State().Brokers[b.id] == nil {
		if s := b.ctl.State(); s.ClusterID == "" && b.id == founder {
			id := b.store.Identity()
			ctx, cancel := b.env.Within(b.ctx, askLimit)
			_, err := b.ctl.Do(ctx, controller.FoundCluster{ClusterID: id.ClusterID, Broker: b.registration()})
			cancel()
			if err == nil {
				continue
			}
		}
		b.sleep(joinEvery)
	}
	ctx, cancel := b.env.Within(b.ctx, askLimit)
	r, err := b.ctl.Do(ctx, controller.RegisterBroker{Broker: b.registration(), Level: placement.Level})
	cancel()
	for n := 0; err == nil && n < 10 && b.ctl.State().Revision < r.Revision; n++ {
		b.sleep(joinEvery)
	}
	b.fresh = err == nil && b.ctl.State().Revision >= r.Revision
	b.ready = true
	c.w.Trace("m%d: ready as broker %d", b.m.n, b.id)
}

// keep asks from time to time whether this broker's replica of the controller group is the one it shall have, and replaces it if not.
func (b *boot) keep(held uint64) {
	in := controllerInstall{b: b}
	open := true
	stop := func() {
		open = false
		if err := b.host.StopGroup(placement.ControllerGroup); err != nil {
			b.env.Log.Warn("stopping the controller's replica", "error", err)
		}
	}
	next := keepSoon
	for {
		b.sleep(next)
		next = keepSoon
		if open && b.own.Healthy() != nil {
			stop()
		}
		lost := ""
		if newest, why := b.held(); newest == held {
			lost = why
		}
		if !open && lost == "" {
			if err := b.openController(held, false); err != nil {
				b.env.Log.Warn("the controller's replica does not start", "error", err)
			} else {
				open = true
			}
		}
		r, leader, err := b.askController(controller.RegisterBroker{Broker: b.registration(), Replica: held, Lost: lost, Level: placement.Level})
		switch {
		case err != nil:
			if e := runnelv1.AsError(err); e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER {
				b.m.c.violate("I18", "broker %d, which nobody removed, is told that it is none: %s", b.id, e.GetMessage())
				return
			}
		case r.ControllerReplica > held:
			if in.install(r, leader) != nil {
				break
			}
			if open {
				stop()
			}
			held = r.ControllerReplica
			if err := b.openController(held, false); err == nil {
				open = true
			}
			next = joinEvery
		case open:
			next = keepEvery
		}
	}
}

// serve answers a call of another broker, or of this one itself. from is 0 for one that is no member yet.
func (b *boot) serve(ctx context.Context, from int32, method string, body []byte) ([]byte, error) {
	switch {
	case b.ctl == nil || b.agent == nil || b.ships == nil:
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the broker is starting")
	case method == controller.Method:
		return b.ctl.ServeFrom(ctx, from, body)
	case catchup.Handles(method):
		return b.ships.Serve(ctx, from, method, body)
	}
	return b.agent.Serve(ctx, method, body)
}
