package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
)

// This broker's replica of the controller group. The founder's is made from nothing; every other one is installed from a member's log
// before it runs (RULES 19), when the broker joins and whenever the controller gives it another id: the one it has lacks what is no
// longer in the log, or its disk failed. The old one stays until the new one is there, so meta.db always has one, and the
// newest is what counts.

const (
	// controllerEvery is how often a broker asks the controller whether its replica is still the right one; controllerSoon, when it
	// has reason to doubt it.
	controllerEvery = 10 * time.Second
	controllerSoon  = 500 * time.Millisecond
	// installStalled is the time without a byte after which another source is tried.
	installStalled = time.Minute
)

// controllerReplica finds the replica to run, and gets one if there is none that can.
func (b *Broker) controllerReplica(ctx context.Context) (uint64, error) {
	held, lost := b.heldController()
	if held != 0 && lost == "" {
		if by := b.askAllGivenUp(ctx, held); by != 0 {
			lost = saidGivenUp(by)
		}
	}
	switch {
	case held != 0 && lost == "":
		return held, nil
	case b.founds():
		return firstController, b.createController()
	}
	b.setPhase("getting the controller's log from a member")
	in := controllerInstall{b: b}
	defer in.abort()
	retry := time.NewTicker(controllerSoon)
	defer retry.Stop()
	said := ""
	for {
		changed := b.changes.changed()
		id, err := in.try(ctx, held, lost)
		if err == nil {
			return id, nil
		}
		if refused(err) {
			return 0, b.removed(err)
		}
		why := fmt.Sprintf("getting the controller's log: %v", err)
		b.setPhase(why)
		if why != said {
			said = why
			b.log.Info("has no replica of the controller group yet", "component", "broker", "reason", why)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-retry.C:
		case <-changed:
		}
	}
}

// heldController finds the newest replica of the controller group in meta.db, 0 if there is none, and why it can never run.
func (b *Broker) heldController() (id uint64, lost string) {
	for _, r := range b.store.Replicas() {
		if r.Group == controllerGroup && r.Replica > id {
			id, lost = r.Replica, r.Quarantine
		}
	}
	return id, lost
}

// founds tells whether this is the founder, crashed between its identity and its replica: meta.db holds both, so none ever ran. Nobody
// else may make a replica from nothing: it would be the only voter of a second group.
func (b *Broker) founds() bool { return b.ID() == firstBroker && len(b.store.Replicas()) == 0 }

// createController makes the founder's replica, the only voter (RULES 3).
func (b *Broker) createController() error {
	return b.store.Create(controllerGroup, firstController, &raftpb.ConfState{Voters: []uint64{firstController}})
}

// openController starts a replica that meta.db knows and forgets those before it: a committed command named their successor.
func (b *Broker) openController(c *core, replica uint64, founding bool) error {
	o := b.cfg.ControllerLog
	if o.SegmentBytes == 0 {
		o = controller.LogOptions()
	}
	// Who else is a member stands in the replica's checkpoint and log; Attach tells the group.
	members := map[uint64]int32{firstController: firstBroker, replica: b.ID()}
	rec, err := b.recoveredIn(replica)
	if err != nil {
		return err
	}
	c.ctl.Heed(rec.recovery)
	var gone func(uint64) bool // nil: any may be heard
	if rec.ok {
		gone = rec.recovery.GivesUp
	}
	group, err := c.host.StartGroup(multiraft.GroupConfig{
		Group: controllerGroup, Replica: replica, Members: members, GoneIf: gone, Machine: c.ctl, Log: o, Name: "controller", Found: founding,
	})
	if err != nil {
		return err
	}
	c.ctl.Attach(group)
	c.own.Store(group)
	for _, r := range b.store.Replicas() {
		if r.Group != controllerGroup || r.Replica >= replica {
			continue
		}
		if err := b.store.Delete(r.Group, r.Replica); err != nil {
			b.log.Warn("a replaced replica of the controller group is not deleted yet", "component", "broker", "replica", r.Replica, "error", err)
		}
	}
	return nil
}

// controllerInstall is a replica of the controller group on its way here. What was received is kept over tries.
type controllerInstall struct {
	b  *Broker
	id uint64
	in *raftlog.Installer // nil when none is under way
	n  int                // tries, to go round the sources
}

// abort throws away what was received.
func (c *controllerInstall) abort() {
	if c.in == nil {
		return
	}
	if err := c.in.Abort(); err != nil {
		c.b.log.Warn("what was received of the controller's log is not removed yet; the next start does", "component", "broker", "error", err)
	}
	c.in = nil
}

// try asks which replica this broker shall have instead of held, and installs it. lost tells why held cannot serve.
func (c *controllerInstall) try(ctx context.Context, held uint64, lost string) (uint64, error) {
	r, leader, err := c.b.askNewController(ctx, held, lost)
	switch {
	case err != nil:
		return 0, err
	case r.ControllerReplica <= held: // an id that was held is never installed again
		return 0, fmt.Errorf("broker %d, which leads the controller group, names no successor of replica %d yet", leader, held)
	}
	return r.ControllerReplica, c.install(ctx, r, leader)
}

// install receives the replica that the controller named: from the leader, whose log is the newest, else from any other member.
func (c *controllerInstall) install(ctx context.Context, r controller.Response, leader int32) (err error) {
	if c.in != nil && c.id != r.ControllerReplica {
		c.abort()
	}
	if c.in == nil {
		c.id = r.ControllerReplica
		c.in, err = c.b.store.Install(controllerGroup, c.id)
		if errors.Is(err, raftlog.ErrReplicaExists) {
			c.in = nil
			return nil
		}
		if err != nil {
			return err
		}
	}
	sources := []int32{leader}
	for _, br := range r.Brokers {
		if br.ID != leader && br.ID != r.Broker {
			sources = append(sources, br.ID)
		}
	}
	from := sources[c.n%len(sources)]
	c.n++
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(installStalled, func() { cancel(fmt.Errorf("broker %d sends nothing", from)) })
	defer stalled.Stop()
	// Not through the broker's limiter: what it takes to be a member must not wait behind partitions that are on their way.
	client := catchup.NewClient(catchup.ClientConfig{Env: c.b.env, Caller: c.b.peers.Bulk(), Log: c.b.log})
	index, err := client.Run(ctx, c.in, from, controllerGroup, func(catchup.Progress) { stalled.Reset(installStalled) })
	if err != nil {
		if errors.Is(err, raftlog.ErrClosed) {
			c.in = nil // its end failed: from the start again
		}
		return errors.Join(err, context.Cause(ctx))
	}
	c.in = nil
	c.b.log.Info("has the controller's log", "component", "broker", "replica", c.id, "from_broker", from, "index", index)
	return nil
}

// forming says what a young cluster still lacks to survive the loss of a broker: the controller group grows from the founder
// by one voter at a time, and with two of them it needs both. Empty: nothing. A cluster that has shrunk, or has a voter that is being
// replaced, is not young any more: a broker that starts in it is not to wait for others.
func forming(s *placement.State, seeds int) string {
	want := min(3, max(seeds, len(s.Brokers)))
	if joined := int(s.NextBroker) - 1; joined < want {
		return fmt.Sprintf("the cluster is forming: %d of %d brokers have joined", max(joined, 0), want)
	}
	voters, able := 0, 0
	known := map[uint64]bool{}
	for _, r := range s.Controller {
		known[r.ID] = true
		if !r.Learner {
			voters++
		}
	}
	for _, b := range s.Brokers {
		if !b.Draining {
			able++
		}
		if !known[b.ControllerReplica] {
			voters++ // it did, and its successor will
		}
	}
	if want = min(3, able); voters < want {
		return fmt.Sprintf("the cluster is forming: %d of %d brokers vote in the controller group", voters, want)
	}
	return ""
}

// keepController asks the controller from time to time, and at once when this broker's replica failed, whether it is the one it shall
// have, replaces it while everything else runs on if not, and tells when a new one runs, which the leader waits for before it makes it a
// member. A replica that failed and may run again, such as for want of space, is opened again. It ends with ctx, or when the controller says
// that this broker is no member.
func (b *Broker) keepController(ctx context.Context, held uint64) {
	c := b.core.Load()
	in := controllerInstall{b: b}
	defer in.abort()
	run := ownReplica{b: b, c: c, open: true}
	wait := time.NewTimer(controllerSoon)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.look:
		case <-wait.C:
		}
		next := controllerSoon
		untold := b.tellRecovered(ctx, c)
		lost := run.look(held)
		r, leader, err := b.askNewController(ctx, held, lost)
		switch {
		case ctx.Err() != nil:
			return
		case refused(err):
			b.leave(err)
			return
		case err != nil:
		case r.ControllerReplica > held:
			b.log.Warn("the replica of the controller group has to be replaced", "component", "broker", "replica", held, "by", r.ControllerReplica, "reason", lost)
			if err := in.install(ctx, r, leader); err != nil {
				b.log.Warn("the new replica of the controller group is not there yet", "component", "broker", "replica", r.ControllerReplica, "error", err)
				break
			}
			if run.open {
				run.stop(held)
			}
			held = r.ControllerReplica
			run = ownReplica{b: b, c: c}
			run.look(held)
			next = 0
		case run.open && c.ctl.State().Revision >= r.Revision:
			if !untold {
				next = b.cfg.ControllerEvery
			}
			run.pause = 0
		}
		wait.Reset(next)
	}
}

// ownReplica runs this broker's replica of the controller group; keepController's.
type ownReplica struct {
	b     *Broker
	c     *core
	open  bool
	pause time.Duration // after the next failure to open it
	again time.Time     // not before
}

// look stops the replica if it failed, and opens it again unless it can never run again: then it tells why.
func (o *ownReplica) look(replica uint64) (lost string) {
	if by := o.b.given.of(replica); by != 0 { // with others like it, it could go on as a second group
		if o.open {
			o.stop(replica)
		}
		return saidGivenUp(by)
	}
	if g := o.c.own.Load(); o.open && g != nil && g.Healthy() != nil {
		o.stop(replica) // also waits until a quarantine is recorded
		o.wait()
	}
	if newest, why := o.b.heldController(); newest == replica && why != "" {
		return why
	}
	if o.open || o.b.env.Now().Before(o.again) {
		return ""
	}
	if err := o.b.openController(o.c, replica, false); err != nil {
		o.b.log.Error("the replica of the controller group does not start and will be tried again", "component", "broker", "replica", replica, "error", err)
		o.wait()
		return ""
	}
	o.open = true
	return ""
}

func (o *ownReplica) stop(replica uint64) {
	o.open = false
	if err := o.c.host.StopGroup(controllerGroup); err != nil {
		o.b.log.Warn("stopping the replica of the controller group", "component", "broker", "replica", replica, "error", err)
	}
}

// wait has the next try wait, each time for longer, until the replica has run well for a while.
func (o *ownReplica) wait() {
	o.again = o.b.env.Now().Add(o.pause)
	o.pause = min(max(2*o.pause, controllerSoon), controllerEvery)
}
