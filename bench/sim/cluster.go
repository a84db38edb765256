package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/env/sim"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
)

// Mutant is a bug that a run seeds, so that the checks can be seen to find it.
type Mutant uint8

// Mutants.
const (
	NoMutant Mutant = iota
	// AckBeforeSync acknowledges what is not durable: the product's syncs are switched off, and blackouts cut the power.
	AckBeforeSync
	// ForgetProducers has each new leader of a partition know no producer of old.
	ForgetProducers
)

// Config says what to run.
type Config struct {
	Seed     uint64
	Machines int // 0: drawn, three or five
	Dir      string
	// Spell is how long, in virtual time, faults and clients go on.
	Spell time.Duration
	// Settle returns when every goroutine but the caller's is blocked: synctest.Wait.
	Settle func()
	// Out takes the history as text; nil for none.
	Out    io.Writer
	Mutant Mutant
}

// Report is what a run found.
type Report struct {
	Violations []check.Violation
	Hash       uint64
	Faults     map[string]int
	Acked      int // records
	Sent       int
	Failed     int // given up after an answer that there was no effect
	Reads      int
	Ends       int
	Topics     int // made and acknowledged while faults went on
	Deleted    int
	Quarantine int // replicas
	Leaders    int
	Slowest    time.Duration // of the writes after healing
	Events     int
}

// Cluster is one run.
type Cluster struct {
	cfg       Config
	w         *sim.World
	net       *sim.Network
	log       *slog.Logger
	calls     *calls
	machines  []*machine
	byBroker  map[int32]*machine
	elections *elections
	faulter   *nemesis
	clients   clients
	topics    topics
	forget    forgetting
	healed    bool
	panicked  bool
	delay     time.Duration // of the network at most, while it is sound
	report    Report

	asking   bool // a request to the controller is under way
	requests []func(done func())
}

// mostAlike bounds how many violations of one invariant are kept: the first tell what is wrong.
const mostAlike = 8

// violate notes a broken promise.
func (c *Cluster) violate(invariant, format string, args ...any) {
	v := check.Violation{Invariant: invariant, What: fmt.Sprintf(format, args...)}
	c.w.Trace("VIOLATION %s", v)
	alike := 0
	for _, x := range c.report.Violations {
		if x.Invariant == invariant {
			alike++
		}
	}
	if alike < mostAlike {
		c.report.Violations = append(c.report.Violations, v)
	}
}

// until runs the world until cond holds, for at most limit more, and moves blocking calls between events.
func (c *Cluster) until(cond func() bool, limit time.Duration) bool {
	return c.w.RunUntil(func() bool {
		c.report.Events++
		c.calls.between()
		c.nextRequest()
		return cond()
	}, limit)
}

func never() bool { return false }

// request has f called when no other request to the controller is under way.
func (c *Cluster) request(f func(done func())) { c.requests = append(c.requests, f) }

func (c *Cluster) nextRequest() {
	if c.asking || c.calls.requests > 0 || len(c.requests) == 0 {
		return
	}
	f := c.requests[0]
	c.requests = c.requests[1:]
	c.asking = true
	f(func() { c.asking = false })
	c.calls.between()
}

func (c *Cluster) requesting() bool { return c.asking || c.calls.requests > 0 || len(c.requests) > 0 }

// do sends a request to the controller by way of a boot. answer is called once, unless the boot is dead by then: then
// with an error.
func (c *Cluster) do(b *boot, r controller.Request, answer func(controller.Response, error)) {
	c.request(func(done func()) {
		if !b.alive() || b.ctl == nil {
			done()
			answer(controller.Response{}, errors.New("the broker is down"))
			return
		}
		ctx, cancel := context.WithCancel(b.ctx)
		c.w.After(requestTimeout, cancel)
		c.calls.start(true, func() func() {
			resp, err := b.ctl.Do(ctx, r)
			return func() {
				cancel()
				done()
				answer(resp, err)
			}
		})
	})
}

// kill ends a machine's broker as SIGKILL or a power cut would.
func (c *Cluster) kill(m *machine, why string, refuses bool) {
	b := m.up
	if b == nil {
		return
	}
	c.w.Trace("m%d: killed (%s)", m.n, why)
	c.end(b, refuses)
	if c.panicked {
		return // perhaps within a transaction, for whose end closing would wait
	}
	if err := m.disk.abandon(); err != nil {
		c.violate("run", "m%d: closing the files of a dead broker: %v", m.n, err)
	}
}

func (c *Cluster) end(b *boot, refuses bool) {
	m := b.m
	m.up = nil
	m.refuses = refuses
	b.proc.Kill()
	b.cancel()
	c.net.Down(m.n, true)
	m.disk.waiting = nil
	if b.agent != nil {
		b.agent.Stop() // its one goroutine ends; the tasks are dead
	}
}

// stop ends a machine's broker as SIGTERM would, after its leaderships were handed over or the time for it was up.
func (c *Cluster) stop(m *machine, then func()) {
	b := m.up
	if b == nil || b.host == nil {
		then()
		return
	}
	c.w.Trace("m%d: stopping", m.n)
	ctx, cancel := context.WithCancel(b.ctx)
	c.w.After(2*time.Second, cancel)
	c.calls.start(false, func() func() {
		err := b.host.HandOver(ctx)
		return func() {
			cancel()
			c.w.Trace("m%d: handed over: %v", m.n, err)
			// What follows must not run within an event of this boot's tasks; between two events it does not.
			if b.alive() {
				b.agent.Stop()
				b.host.Stop()
				c.end(b, true)
				if err := b.store.Close(); err != nil && m.disk.failed == 0 {
					c.violate("run", "m%d: closing the store: %v", m.n, err)
				}
				m.disk.opened = nil
				clear(m.disk.open)
			}
			then()
		}
	})
}

// revive starts a machine's broker if it is down and can run.
func (c *Cluster) revive(m *machine) {
	if m.up != nil || m.failed != "" {
		return
	}
	c.w.Trace("m%d: starts", m.n)
	if err := m.start(); err != nil {
		c.lose(m, err)
	}
}

// lose gives a machine up for good. That is right only if its disk had failed.
func (c *Cluster) lose(m *machine, err error) {
	m.failed = strings.ReplaceAll(err.Error(), c.cfg.Dir, "")
	c.w.Trace("m%d: lost: %s", m.n, m.failed)
	if m.disk.failed == 0 {
		c.violate("run", "m%d: cannot start, and its disk is sound: %v", m.n, err)
	}
	c.kill(m, "cannot run", false)
}

// ready tells whether all machines' brokers are members of the cluster.
func (c *Cluster) ready() bool {
	return !slices.ContainsFunc(c.machines, func(m *machine) bool { return m.failed == "" && (m.up == nil || !m.up.ready) })
}

// anyBoot draws a ready boot, or nil.
func (c *Cluster) anyBoot() *boot {
	var up []*boot
	for _, m := range c.machines {
		if m.up != nil && m.up.ready {
			up = append(up, m.up)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[c.w.Rand().Int64N(int64(len(up)))]
}

// newest is the newest state that any broker has.
func (c *Cluster) newest() *placement.State {
	s := placement.New()
	for _, m := range c.machines {
		if m.up != nil && m.up.ctl != nil && m.up.ctl.State().Revision > s.Revision {
			s = m.up.ctl.State()
		}
	}
	return s
}

// Run runs one history. It must be called inside a synctest bubble whose Wait is Config.Settle, with the process's
// random source set by the seed.
func Run(cfg Config) (report Report) {
	c := &Cluster{cfg: cfg, w: sim.New(cfg.Seed), byBroker: map[int32]*machine{}}
	c.report.Faults = map[string]int{}
	c.log = slog.New(slog.DiscardHandler)
	if cfg.Out != nil {
		c.w.Log(cfg.Out)
		c.log = slog.New(traceHandler(c.w, cfg.Out))
	}
	c.calls = newCalls(cfg.Settle)
	c.net = c.w.NewNetwork()
	c.delay = []time.Duration{time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond}[c.w.Rand().Int64N(3)]
	c.net.MaxDelay = c.delay
	c.slowDisks()
	c.elections = newElections(c)
	c.calls.gate.Lock()
	defer c.calls.gate.Unlock()
	defer func() {
		if p := recover(); p != nil {
			// Of the product, on a goroutine where nothing recovers: a real broker is gone.
			c.panicked = true
			c.violate("run", "a panic ends the broker: %v\n%s", p, debug.Stack())
			report = c.finished()
		}
		c.close()
	}()

	n := cfg.Machines
	if n == 0 {
		n = 3
		if c.w.Rand().Int64N(3) == 0 {
			n = 5
		}
	}
	for i := int32(1); i <= int32(n); i++ {
		m := &machine{c: c, n: i, disk: newDisk(c.diskDir(i), cfg.Mutant == AckBeforeSync)}
		c.machines = append(c.machines, m)
		c.net.Down(i, true)
	}
	for _, m := range c.machines {
		c.revive(m)
	}
	if !c.until(c.ready, time.Minute) {
		c.violate("I21", "the cluster was not founded within a minute")
		return c.finished()
	}
	if !c.makeTopics() {
		return c.finished()
	}
	c.startClients()
	c.startNemesis()
	c.startTopics()
	c.until(never, cfg.Spell)
	c.heal()
	c.verify()
	return c.finished()
}

// slowDisks draws how slow commits are.
func (c *Cluster) slowDisks() {
	r, usual := c.w.Rand(), c.w.Delay
	most := []int64{1, 4, 15}[r.Int64N(3)]
	c.w.Delay = func(class env.Class) time.Duration {
		if class == env.ClassAppend {
			return time.Duration(r.Int64N(most * int64(time.Millisecond)))
		}
		return usual(class)
	}
}

func (c *Cluster) finished() Report {
	c.report.Hash = c.w.Hash()
	c.report.Leaders = len(c.elections.leaders)
	return c.report
}

// close ends everything that still runs.
func (c *Cluster) close() {
	for _, m := range c.machines {
		c.kill(m, "the run is over", false)
	}
	c.requests = nil
	c.calls.between()
}
