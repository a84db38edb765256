package sim

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/catchup"
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
	c      *Cluster
	n      int32 // its address
	disk   *disk
	up     *boot
	failed string        // why its broker can never start again
	skew   time.Duration // of the wall clock of its next boot
	jump   time.Duration // of the time of day, while it runs
	jumped uint64        // ticks that read a clock which had jumped
	// quarantined holds the replicas that were given up so far.
	quarantined map[groupReplica]bool

	refuses bool    // while the broker is down, the machine says so
	was     []int32 // ids that brokers had here whose disk was wiped
}

// boot is one run of a broker: what cmd/brokerd/broker assembles, below rpc.
type boot struct {
	m      *machine
	over   bool // it was killed, or has stopped
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
	ships *catchup.Server
	own   *multiraft.Group // of the controller
	heard []int32
	ready bool // the state knows it
	fresh bool // its state was as new as the controller's once
}

const founder = 1

func (b *boot) alive() bool { return b.m.up == b && !b.over }

// start boots the machine's broker. An error means that it can never run again.
func (m *machine) start() error {
	c := m.c
	p := c.w.Process(fmt.Sprintf("m%d", m.n))
	ctx, cancel := context.WithCancel(context.Background())
	p.Skew(m.skew)
	p.Jump(m.jump)
	pe := p.Env()
	b := &boot{
		m: m, proc: p, ctx: ctx, cancel: cancel, asking: map[int32]bool{}, linked: map[int32]*boot{}, nonce: c.w.Rand().Uint64() | 1,
	}
	b.env = &env.Env{Clock: pe.Clock, Executor: executor{pe.Executor, b}, Rand: pe.Rand, Log: slog.New(slog.DiscardHandler), Turn: func() { c.turns.take(b) }}
	if c.cfg.Out != nil {
		b.env.Log = slog.New(&logHandler{b: b, w: c.w, out: c.cfg.Out}).With("machine", m.n)
	}
	m.disk.begin(b)
	var err error
	b.store, err = raftlog.Open(raftlog.Options{
		Dir: m.disk.dir, Clock: b.env.Clock, Log: b.env.Log, Hooks: m.disk.hooks(b), SegmentBytes: 1 << 20,
		Fatal: func(err error) {
			c.w.After(0, func() {
				if b.alive() {
					if m.disk.failed == 0 {
						c.violate("run", "m%d: the store ends its broker, and the disk is sound: %v", m.n, err)
					}
					c.kill(m, "meta.db failed", true)
					c.w.After(time.Second, func() { c.revive(m) })
				}
			})
		},
	})
	if err != nil {
		b.over = true
		cancel()
		return err
	}
	m.up = b
	m.noteQuarantines(b.store)
	c.net.Down(m.n, false)
	var known []groupReplica
	for _, r := range b.store.Replicas() {
		known = append(known, groupReplica{r.Group, r.Replica})
	}
	c.elections.restarted(known)
	c.start(b, b.enter)
	return nil
}

// core makes host, controller and agent, as the broker's core does, and opens the replica of the controller group.
func (b *boot) core(replica uint64, founding bool) error {
	c := b.m.c
	tick := time.Duration(0)
	if c.cfg.Seed%2 == 1 {
		tick = 20 * time.Second // as brokerd has it: nothing may wait for it
	}
	b.host = multiraft.New(multiraft.Config{
		Env: b.env, BrokerID: b.id, BootNonce: b.nonce, Store: b.store, Transport: transport{b}, TickInterval: tick,
	})
	b.ctl = controller.New(controller.Config{
		Env: b.env, BrokerID: b.id, Alive: b.host.Alive, Caller: caller{b}, Leader: b.host.Leader, Automatic: true,
		ReplaceAfter: c.replaceAfter, MuteAfterReturn: 2 * time.Second,
		ValidateConfig: func(config map[string]string) error {
			_, err := partition.ParseSettings(config)
			return err
		},
	})
	b.agent = agent.New(agent.Config{
		Env: b.env, BrokerID: b.id, Host: b.host, Store: b.store, Budget: partition.NewBudget(64 << 20), Metrics: partition.NewMetrics(nil),
		DiskFull: func() bool { return b.m.disk.full },
		Catchup:  catchup.NewClient(catchup.ClientConfig{Env: b.env, Caller: caller{b}, Log: b.env.Log}), Boot: b.nonce,
		StateCurrent: func() (bool, string) {
			if b.fresh {
				return true, ""
			}
			return b.ctl.CaughtUp()
		},
		Forget: func(ctx context.Context, replicas []uint64) error {
			_, err := b.ctl.Do(ctx, controller.ForgetReplicas{Broker: b.id, Replicas: replicas})
			return err
		},
	})
	b.hear()
	if err := b.openController(replica, founding); err != nil {
		return err
	}
	b.ships = catchup.NewServer(catchup.ServerConfig{Env: b.env, Log: b.env.Log, Source: func(group uint64) catchup.Source {
		if group == placement.ControllerGroup {
			return b.ctl
		}
		return b.agent.Source(group)
	}})
	b.ctl.OnChange(func(s *placement.State) {
		b.hear()
		b.agent.Update(s)
		c.elections.named(s)
	})
	b.agent.Start()
	b.host.Start()
	b.tick()
	return nil
}

// openController starts a replica that the store knows and deletes those before it.
func (b *boot) openController(replica uint64, founding bool) error {
	group, err := b.host.StartGroup(multiraft.GroupConfig{
		Group: placement.ControllerGroup, Replica: replica, Members: map[uint64]int32{firstReplica: founder, replica: b.id},
		Machine: b.ctl, Name: "controller", Found: founding, Log: raftlog.LogOptions{SegmentBytes: 64 << 10, KeepSegments: 64},
	})
	if err != nil {
		return err
	}
	b.ctl.Attach(group)
	b.own = group
	for _, r := range b.store.Replicas() {
		if r.Group != placement.ControllerGroup || r.Replica >= replica {
			continue
		}
		if err := b.store.Delete(r.Group, r.Replica); err != nil {
			return err
		}
	}
	return nil
}

// hear exchanges heartbeats with all brokers that the state knows or that gossip would tell of.
func (b *boot) hear() {
	var ids []int32
	for _, m := range b.m.c.machines {
		if m.up != nil && m.up.id != 0 {
			ids = append(ids, m.up.id)
		}
	}
	ids = append(ids, b.ctl.State().BrokerIDs()...)
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id int32) bool { return id == b.id })
	if !slices.Equal(ids, b.heard) {
		b.heard = ids
		b.host.SetBrokers(ids)
	}
}

// tick does each second what the broker's ticker does.
func (b *boot) tick() {
	b.env.AfterFunc(time.Second, func() {
		b.hear()
		b.m.noteQuarantines(b.store)
		if b.m.jump != 0 {
			b.m.jumped++
		}
		b.agent.Tick(b.env.Wall())
		b.tick()
	})
}

// diskDir is a machine's data folder.
func (c *Cluster) diskDir(n int32) string { return filepath.Join(c.cfg.Dir, fmt.Sprintf("m%d", n)) }
