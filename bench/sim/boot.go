package sim

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/env/sim"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/agent"
	"github.com/runnel-io/runnel/placement/controller"
)

// machine is a computer with a disk, on which a broker runs or not.
type machine struct {
	c       *Cluster
	n       int32 // its address
	disk    *disk
	up      *boot
	failed  string        // why its broker can never start again
	skew    time.Duration // of the wall clock of its next boot
	refuses bool          // while the broker is down, the machine says so
}

// boot is one run of a broker: what cmd/brokerd/broker assembles, below rpc.
type boot struct {
	m      *machine
	proc   *sim.Process
	env    *env.Env
	ctx    context.Context // of its blocking calls
	cancel context.CancelFunc
	store  *raftlog.Store
	nonce  uint64
	asking map[int32]bool  // brokers whose refusal is on its way
	linked map[int32]*boot // which boot of a broker the transport is connected to

	id    int32 // 0 before it joined
	host  *multiraft.Host
	ctl   *controller.Controller
	agent *agent.Agent
	feed  feeder
	ready bool // the state knows it

	forgetting bool

	tasks   int
	ticking bool
	ticked  []ticked
}

const (
	founder        = 1
	firstReplica   = 1
	joinEvery      = 200 * time.Millisecond
	requestTimeout = 5 * time.Second
)

func (b *boot) alive() bool { return b.m.up == b }

func (b *boot) host0() int32 { return b.id }

// start boots the machine's broker. An error means that it can never run again.
func (m *machine) start() error {
	c := m.c
	p := c.w.Process(fmt.Sprintf("m%d", m.n))
	ctx, cancel := context.WithCancel(context.Background())
	p.Skew(m.skew)
	pe := p.Env()
	b := &boot{
		m: m, proc: p, ctx: ctx, cancel: cancel, asking: map[int32]bool{}, linked: map[int32]*boot{}, nonce: c.w.Rand().Uint64() | 1,
		env: &env.Env{Clock: pe.Clock, Executor: pe.Executor, Rand: pe.Rand, Log: c.log.With("machine", m.n)},
	}
	b.env.Executor = executor{pe.Executor, b}
	m.disk.known = func(path string) bool {
		return b.store != nil && slices.ContainsFunc(b.store.Replicas(), func(r raftlog.ReplicaInfo) bool {
			return filepath.Base(path) == fmt.Sprintf("%016x-%016x", r.Group, r.Replica)
		})
	}
	m.disk.again = func(path string) {
		c.violate("I19", "m%d: a replica is made again under the id of one that was deleted: %s", m.n, filepath.Base(path))
	}
	var err error
	b.store, err = raftlog.Open(raftlog.Options{
		Dir: m.disk.dir, Clock: b.env.Clock, Log: b.env.Log, Hooks: m.disk.hooks(), SegmentBytes: 1 << 20,
		Fatal: func(error) {
			c.w.After(0, func() {
				if b.alive() {
					c.kill(m, "meta.db failed", true)
					c.w.After(time.Second, func() { c.revive(m) })
				}
			})
		},
	})
	if err != nil {
		cancel()
		return err
	}
	m.up = b
	c.net.Down(m.n, false)
	var known []groupReplica
	for _, r := range b.store.Replicas() {
		known = append(known, groupReplica{r.Group, r.Replica})
	}
	c.elections.restarted(known)
	id := b.store.Identity()
	switch {
	case id.ClusterID != "":
		for _, r := range b.store.Replicas() {
			if r.Group == placement.ControllerGroup {
				return b.run(r.Replica, false, nil)
			}
		}
		return fmt.Errorf("no replica of the controller group")
	case m.n == founder && len(c.byBroker) == 0:
		id.ClusterID, id.BrokerID = "sim", founder
		if err := b.store.SetIdentity(id); err != nil {
			return err
		}
		if err := b.createController(firstReplica); err != nil {
			return err
		}
		return b.run(firstReplica, true, nil)
	}
	b.join(0)
	return nil
}

func (b *boot) createController(replica uint64) error {
	return b.store.Create(placement.ControllerGroup, replica, &raftpb.ConfState{Voters: []uint64{firstReplica}})
}

func (b *boot) registration() placement.Registration {
	id := b.store.Identity()
	return placement.Registration{
		ID: id.BrokerID, Incarnation: id.Incarnation, ClientAddr: fmt.Sprintf("m%d:1", b.m.n), PeerAddr: fmt.Sprintf("m%d:2", b.m.n), Version: "sim",
	}
}

// join asks the machines in turn for admission until one grants it.
func (b *boot) join(try int) {
	c := b.m.c
	again := func() { c.w.After(joinEvery, func() { b.join(try + 1) }) }
	if !b.alive() {
		return
	}
	body, err := controller.EncodeRequest(controller.RegisterBroker{Broker: b.registration()})
	if err != nil {
		panic(err)
	}
	c.request(func(done func()) {
		to := c.machines[try%len(c.machines)]
		if !b.alive() || to == b.m {
			done()
			again()
			return
		}
		c.rpc(b.m, to, requestTimeout, func(ctx context.Context, t *boot) ([]byte, error) { return t.ctl.Serve(ctx, body) }, func(answer []byte, err error) {
			done()
			if !b.alive() {
				return
			}
			var r controller.Response
			if err == nil {
				r, err = controller.DecodeResponse(answer)
			}
			if err != nil {
				again()
				return
			}
			if err := b.createController(r.ControllerReplica); err != nil {
				c.lose(b.m, err)
				return
			}
			id := b.store.Identity()
			id.ClusterID, id.BrokerID = r.ClusterID, r.Broker
			if err := b.store.SetIdentity(id); err != nil {
				c.lose(b.m, err)
				return
			}
			var known []int32
			for _, x := range r.Brokers {
				known = append(known, x.ID)
			}
			if err := b.run(r.ControllerReplica, false, known); err != nil {
				c.lose(b.m, err)
			}
		})
	})
}

// run makes host, controller and agent, as the broker's core does.
func (b *boot) run(replica uint64, founding bool, known []int32) error {
	c := b.m.c
	b.id = b.store.Identity().BrokerID
	c.byBroker[b.id] = b.m
	tick := time.Duration(0)
	if b.m.c.cfg.Seed%2 == 1 {
		tick = 10 * time.Second // as brokerd has it: nothing may wait for it
	}
	b.host = multiraft.New(multiraft.Config{
		Env: b.env, BrokerID: b.id, BootNonce: b.nonce, Store: b.store, Transport: transport{b}, TickInterval: tick,
	})
	ctl := controller.New(controller.Config{
		Env: c.calls.gated(b.env), BrokerID: b.id, Alive: b.host.Alive, Caller: caller{b},
		ValidateConfig: func(config map[string]string) error {
			_, err := partition.ParseSettings(config)
			return err
		},
	})
	b.agent = agent.New(agent.Config{Env: b.env, BrokerID: b.id, Host: b.host, Store: b.store, Budget: partition.NewBudget(64 << 20), Metrics: partition.NewMetrics(nil)})
	if replica != firstReplica {
		b.host.SetBrokers(append([]int32{founder}, known...))
	}
	group, err := b.host.StartGroup(multiraft.GroupConfig{
		Group: placement.ControllerGroup, Replica: replica, Members: map[uint64]int32{firstReplica: founder, replica: b.id},
		Machine: ctl, Name: "controller", Found: founding,
	})
	if err != nil {
		return err
	}
	ctl.Attach(group)
	b.ctl = ctl
	b.feed = feeder{b: b}
	var asked []int32
	ctl.OnChange(func(s *placement.State) {
		var ids []int32
		for _, id := range s.BrokerIDs() {
			if id != b.id {
				ids = append(ids, id)
			}
		}
		if !slices.Equal(ids, asked) {
			asked = ids
			b.host.SetBrokers(ids)
		}
		b.feed.push(s)
	})
	b.agent.Start()
	b.host.Start()
	b.register()
	b.tick()
	return nil
}

// register founds the cluster's state, and waits until it knows this broker.
func (b *boot) register() {
	c := b.m.c
	if !b.alive() {
		return
	}
	s := b.ctl.State()
	if s.Brokers[b.id] != nil {
		b.ready = true
		c.w.Trace("m%d: ready as broker %d", b.m.n, b.id)
		return
	}
	if s.ClusterID == "" && b.id == founder {
		id := b.store.Identity()
		c.do(b, controller.FoundCluster{ClusterID: id.ClusterID, Broker: b.registration()}, func(controller.Response, error) {
			c.w.After(joinEvery, b.register)
		})
		return
	}
	c.w.After(joinEvery, b.register)
}

// tick does each second what the broker's ticker does, and reports deleted replicas as the agent's own goroutine would.
// The agent ticks its partitions in the order of a sync.Map, which is drawn anew in each process: the wakes of tasks and
// readers that come of it are therefore collected and done in an order of their own.
func (b *boot) tick() {
	b.env.AfterFunc(time.Second, func() {
		b.ticking = true
		b.agent.Tick(b.env.Now())
		b.ticking = false
		done := b.ticked
		b.ticked = nil
		slices.SortStableFunc(done, func(x, y ticked) int { return x.order - y.order })
		for _, t := range done {
			t.run()
		}
		b.forget()
		b.tick()
	})
}

func (b *boot) forget() {
	s := b.ctl.State()
	if b.feed.busy() || b.forgetting {
		return
	}
	var gone []uint64
	for _, id := range slices.Sorted(maps.Keys(s.Tombstones)) {
		if s.Tombstones[id].Broker == b.id && !b.holds(id) {
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 {
		b.forgetting = true
		b.m.c.do(b, controller.ForgetReplicas{Broker: b.id, Replicas: gone}, func(controller.Response, error) { b.forgetting = false })
	}
}

func (b *boot) holds(replica uint64) bool {
	return slices.ContainsFunc(b.store.Replicas(), func(r raftlog.ReplicaInfo) bool { return r.Replica == replica })
}

// feeder gives the agent one change of the state at a time, in the order of names and ids: the agent goes over the
// state's maps as they come, and that order is drawn anew in each run of the process.
type feeder struct {
	b      *boot
	queue  []*placement.State
	given  *placement.State
	active bool
	// revision is that of the state that is approached, steps how many steps towards it were made.
	revision, steps uint64
}

const stepsPerRevision = 10_000

const feedEvery = time.Millisecond // above what the agent's compare task waits

func (f *feeder) busy() bool { return f.active || len(f.queue) > 0 }

func (f *feeder) push(s *placement.State) {
	f.queue = append(f.queue, s)
	if !f.active {
		f.active = true
		f.next()
	}
}

func (f *feeder) next() {
	if len(f.queue) == 0 {
		f.active = false
		return
	}
	target := f.queue[len(f.queue)-1] // the agent needs only the newest
	from := f.given
	if from == nil {
		from = placement.New()
	}
	if target.Revision != f.revision {
		f.revision, f.steps = target.Revision, 0
	}
	step := *target
	step.Topics, step.Tombstones = maps.Clone(from.Topics), maps.Clone(from.Tombstones)
	f.steps++
	// Steps towards a state count as that state, not as one before: what it deletes was not there any more.
	step.Revision = target.Revision*stepsPerRevision + f.steps
	if !f.change(&step, from, target) {
		f.queue = f.queue[:0]
		step.Revision = target.Revision*stepsPerRevision + stepsPerRevision - 1
	}
	f.given = &step
	f.b.agent.Update(&step)
	f.b.env.AfterFunc(feedEvery, f.next)
}

// change makes one difference between two states in step and tells whether there may be more.
func (f *feeder) change(step, from, target *placement.State) bool {
	for _, name := range slices.Sorted(maps.Keys(from.Topics)) {
		if t := target.Topics[name]; t == nil || t.ID != from.Topics[name].ID {
			delete(step.Topics, name)
			return true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(target.Topics)) {
		if from.Topics[name] != target.Topics[name] {
			step.Topics[name] = target.Topics[name]
			return true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(target.Tombstones)) {
		if from.Tombstones[id] == nil {
			step.Tombstones[id] = target.Tombstones[id]
			return true
		}
	}
	step.Tombstones = target.Tombstones
	return false
}

// diskDir is a machine's data folder.
func (c *Cluster) diskDir(n int32) string { return filepath.Join(c.cfg.Dir, fmt.Sprintf("m%d", n)) }
