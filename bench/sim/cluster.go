package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/env/sim"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
)

// Config says what to run.
type Config struct {
	Seed     uint64
	Machines int // 0: drawn, five or six
	Dir      string
	// Spell is how long, in virtual time, faults and clients go on.
	Spell time.Duration
	// Settle returns when every goroutine but the caller's is blocked: synctest.Wait.
	Settle func()
	// Out takes the history as text; nil for none.
	Out io.Writer
}

// Cluster is one run.
type Cluster struct {
	cfg       Config
	w         *sim.World
	net       *sim.Network
	turns     *turns
	machines  []*machine
	byBroker  map[int32]*machine
	founded   bool
	elections *elections
	faulter   *nemesis
	clients   clients
	topics    topics
	operators operators
	healed    bool
	delay     time.Duration // of the network at most, while it is sound
	// replaceAfter is the controllers' setting.
	replaceAfter time.Duration
	facts        map[string]int
	report       Report
}

// mostAlike bounds how many violations of one invariant are kept: the first tell what is wrong.
const mostAlike = 8

// violate notes a broken promise.
func (c *Cluster) violate(invariant, format string, args ...any) {
	v := check.Violation{Invariant: invariant, What: strings.ReplaceAll(fmt.Sprintf(format, args...), c.cfg.Dir, "")}
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

// until runs the world until cond holds, for at most limit more, and has goroutines go on between events.
func (c *Cluster) until(cond func() bool, limit time.Duration) bool {
	return c.w.RunUntil(func() bool {
		c.report.Events++
		c.turns.run()
		return cond()
	}, limit)
}

func never() bool { return false }

// paced asks a condition that is dear only now and then.
func (c *Cluster) paced(cond func() bool) func() bool {
	var next time.Duration
	return func() bool {
		if c.w.Now() < next {
			return false
		}
		next = c.w.Now() + 20*time.Millisecond
		return cond()
	}
}

// do sends a request to the controller by way of a boot. answer is called once, with an error if the boot ends before.
func (c *Cluster) do(b *boot, within time.Duration, r controller.Request, answer func(controller.Response, error)) {
	resp, err := controller.Response{}, errors.New("the broker is down")
	if !b.alive() || b.ctl == nil {
		answer(resp, err)
		return
	}
	c.start(b, func() {
		defer func() { answer(resp, err) }()
		ctx, cancel := b.env.Within(b.ctx, within)
		defer cancel()
		resp, err = b.ctl.Do(ctx, r)
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
	if err := m.disk.abandon(); err != nil {
		c.violate("run", "m%d: closing the files of a dead broker: %v", m.n, err)
	}
}

// end has nothing of a boot run any more. Its goroutines end at their next turn; those that nothing would wake are told.
func (c *Cluster) end(b *boot, refuses bool) {
	m := b.m
	m.up = nil
	m.refuses = refuses
	b.over = true
	b.proc.Kill()
	b.cancel()
	c.net.Down(m.n, true)
	c.net.Hold(m.n, false)
	m.disk.waiting, m.disk.dies = nil, nil
	if b.agent == nil {
		return
	}
	ctl, a, ships := b.ctl, b.agent, b.ships
	go func() {
		ctl.Stop()
		a.Stop()
		if ships != nil {
			ships.Stop()
		}
	}()
}

// stop ends a machine's broker as SIGTERM would, after its leaderships were handed over or the time for it was up.
func (c *Cluster) stop(m *machine, then func()) {
	b := m.up
	if b == nil || b.ships == nil {
		then()
		return
	}
	c.w.Trace("m%d: stopping", m.n)
	c.start(b, func() {
		defer then()
		b.ctl.Stop()
		ctx, cancel := b.env.Within(b.ctx, 2*time.Second)
		defer cancel()
		err := b.host.HandOver(ctx)
		c.w.Trace("m%d: handed over: %v", m.n, err)
		b.agent.Stop()
		b.env.Resumed()
		b.ships.Stop()
		b.host.Stop()
		err = errors.Join(b.store.Close(), m.disk.closed())
		if err != nil && !b.over && m.disk.failed == 0 && !errors.Is(err, syscall.ENOSPC) {
			c.violate("run", "m%d: closing the store: %v", m.n, err)
		}
		c.end(b, true)
	})
}

// revive starts a machine's broker if it is down and can run.
func (c *Cluster) revive(m *machine) {
	if m.up != nil || m.failed != "" {
		return
	}
	c.w.Trace("m%d: starts", m.n)
	switch err := m.start(); {
	case errors.Is(err, syscall.ENOSPC): // it was wiped, and others filled it: a supervisor tries again
		c.w.Trace("m%d: does not start: no room", m.n)
		c.w.After(time.Second, func() { c.revive(m) })
	case err != nil:
		c.lose(m, err)
	}
}

// loseBoot gives up the machine of a boot that cannot go on.
func (c *Cluster) loseBoot(b *boot, err error) {
	if !b.alive() {
		return
	}
	if errors.Is(err, syscall.ENOSPC) { // a supervisor starts it again
		c.kill(b.m, "gave up: "+err.Error(), true)
		c.w.After(time.Second, func() { c.revive(b.m) })
		return
	}
	c.lose(b.m, err)
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
// random source set by the seed. A panic of the product, where a real broker would end, ends the process.
func Run(cfg Config) Report {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // see goroutineID
	c := &Cluster{cfg: cfg, w: sim.New(cfg.Seed), byBroker: map[int32]*machine{}, facts: map[string]int{}}
	c.report.Faults, c.report.Operations = map[string]int{}, map[string]int{}
	if cfg.Out != nil {
		c.w.Log(cfg.Out)
	}
	c.turns = &turns{settle: cfg.Settle}
	c.net = c.w.NewNetwork()
	// Raft takes its messages in any order, and again. The other lanes are promised to be exact (multiraft.Transport).
	c.net.Loose = map[int]bool{int(multiraft.LaneAppend): true}
	r := c.w.Rand()
	c.delay = []time.Duration{time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond}[r.Int64N(3)]
	c.net.MaxDelay = c.delay
	c.replaceAfter = []time.Duration{1500 * time.Millisecond, 3 * time.Second, 6 * time.Second}[r.Int64N(3)]
	c.slowDisks()
	c.elections = newElections(c)
	c.operators.ctx, c.operators.stop = context.WithCancel(context.Background())
	c.makeMachines()
	c.history()
	c.close()
	return c.finished()
}

func (c *Cluster) makeMachines() {
	n := c.cfg.Machines
	if n == 0 {
		n = 5
		if c.w.Rand().Int64N(4) == 0 {
			n = 6
		}
	}
	for i := int32(1); i <= int32(n); i++ {
		m := &machine{c: c, n: i, quarantined: map[groupReplica]bool{}}
		m.disk = newDisk(c, c.diskDir(i))
		c.machines = append(c.machines, m)
		c.net.Down(i, true)
	}
}

// history is the run: a sound cluster, faults, healing, the checks.
func (c *Cluster) history() {
	for _, m := range c.machines {
		c.revive(m)
	}
	if !c.until(c.ready, time.Minute) {
		c.violate("I21", "the cluster was not founded within a minute")
		return
	}
	if !c.makeTopics() {
		return
	}
	c.startClients()
	c.startNemesis()
	c.startOperators()
	c.until(never, c.cfg.Spell)
	c.until(c.provesEnough, 4*c.cfg.Spell) // a run that was at a standstill goes on for a while
	c.heal()
	c.verify()
}

// provesEnough tells whether enough has been done and broken for the run to count.
func (c *Cluster) provesEnough() bool {
	acked, faults := 0, 0
	for _, p := range c.clients.producers {
		acked += p.batches
	}
	for _, n := range c.report.Faults {
		faults += n
	}
	return acked >= leastAcked && faults >= leastFaults
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

// close ends everything that still runs.
func (c *Cluster) close() {
	for _, m := range c.machines {
		c.kill(m, "the run is over", false)
	}
	c.operators.stop()
	c.turns.run()
}

// sleep waits on the virtual clock, on a goroutine of the workload. It tells false once the run is over.
func (c *Cluster) sleep(d time.Duration) bool {
	over := make(chan struct{})
	c.w.After(d, func() { close(over) })
	select {
	case <-over:
	case <-c.operators.ctx.Done():
	}
	c.turns.take(nil)
	return c.operators.ctx.Err() == nil
}
