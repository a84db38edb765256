package sim

import (
	"fmt"
	"time"
)

// nemesis breaks and mends. One or two faults are under way at a time.
type nemesis struct {
	c      *Cluster
	victim *machine // the only one whose disk ever fails for good: a majority must stay sound
	errors int      // disk failures still allowed
	trap   func(m *machine)
}

// fault breaks something and answers how to mend it; "" if it found nothing to break.
type fault struct {
	name   string
	weight int64
	do     func(n *nemesis, m *machine) (name string, mend func())
}

var faults = []fault{
	{"kill", 4, (*nemesis).kill},
	{"restart", 3, (*nemesis).restart},
	{"ambush", 3, (*nemesis).ambush},
	{"stop", 2, (*nemesis).stop},
	{"isolate", 3, (*nemesis).isolate},
	{"one way", 3, (*nemesis).oneWay},
	{"bridge", 2, (*nemesis).bridge},
	{"loss", 2, (*nemesis).loss},
	{"slow", 2, (*nemesis).slow},
	{"stall", 3, (*nemesis).stall},
	{"blackout", 1, (*nemesis).blackout},
	{"disk error", 1, (*nemesis).diskError},
	{"clock", 1, (*nemesis).clock},
}

// FaultNames are the kinds of faults that a run may draw.
func FaultNames() (names []string) {
	for _, f := range faults {
		names = append(names, f.name)
	}
	return names
}

func (c *Cluster) startNemesis() {
	r := c.w.Rand()
	n := &nemesis{c: c, victim: c.machines[r.Int64N(int64(len(c.machines)))]}
	if r.Int64N(3) == 0 {
		n.errors = 1
	}
	c.faulter = n
	if c.cfg.Mutant == AckBeforeSync {
		n.cutPower()
	}
	n.loop()
	if r.Int64N(2) == 0 {
		n.loop()
	}
}

// cutPower takes the power thrice from machines whose disks are written back now and then. A broker dies just before, so that votes
// are among what is lost: when it comes back it may ask for those that others were given.
func (n *nemesis) cutPower() {
	c := n.c
	waiting := false // for the cut
	write := func() {
		for _, m := range c.machines {
			m.disk.writeBack()
		}
	}
	var back func()
	back = func() {
		if c.healed {
			return
		}
		if !waiting {
			write()
		}
		c.w.After(700*time.Millisecond, back)
	}
	back()
	for i := range time.Duration(3) {
		c.w.After((i+1)*c.cfg.Spell/4, func() {
			write()
			waiting = true
			n.kill(n.aim())
			c.w.After(600*time.Millisecond, func() {
				waiting = false
				_, mend := n.blackout(nil)
				c.w.After(500*time.Millisecond, mend)
			})
		})
	}
}

func (n *nemesis) loop() {
	c := n.c
	r := c.w.Rand()
	c.w.After(time.Duration(100+r.Int64N(900))*time.Millisecond, func() {
		if c.healed {
			return
		}
		name, mend := n.draw()
		if name == "" {
			n.loop()
			return
		}
		c.report.Faults[name]++
		c.w.Trace("FAULT %s", name)
		pause := time.Duration(50+r.Int64N(2500)) * time.Millisecond
		c.w.After(pause, func() {
			if !c.healed {
				c.w.Trace("MEND %s", name)
				mend()
			}
			n.loop()
		})
	})
}

func (n *nemesis) draw() (string, func()) {
	r := n.c.w.Rand()
	total := int64(0)
	for _, f := range faults {
		total += f.weight
	}
	at := r.Int64N(total)
	for _, f := range faults {
		if at < f.weight {
			return f.do(n, n.aim())
		}
		at -= f.weight
	}
	return "", nil
}

// aim draws a machine; faults of leaders tell more.
func (n *nemesis) aim() *machine {
	c := n.c
	r := c.w.Rand()
	if r.Int64N(2) == 0 {
		s := c.clients.slots[r.Int64N(int64(len(c.clients.slots)))]
		if m := c.byBroker[s.hint]; m != nil {
			return m
		}
	}
	return c.machines[r.Int64N(int64(len(c.machines)))]
}

// mayFall tells whether one more machine may be down: if not, kills would teach nothing but waiting.
func (n *nemesis) mayFall(m *machine) bool {
	return m.up != nil && m.up.ready
}

func (n *nemesis) kill(m *machine) (string, func()) {
	if !n.mayFall(m) {
		return "", nil
	}
	n.c.kill(m, "kill", n.c.w.Rand().Int64N(2) == 0)
	return "kill", func() { n.c.revive(m) }
}

func (n *nemesis) restart(m *machine) (string, func()) {
	if !n.mayFall(m) {
		return "", nil
	}
	n.c.kill(m, "quick restart", true)
	n.c.revive(m)
	return "restart", func() {}
}

// ambush kills the next broker that takes a batch, while that is on its way.
func (n *nemesis) ambush(*machine) (string, func()) {
	var fallen *machine
	n.trap = func(m *machine) {
		n.trap = nil
		n.c.w.After(time.Duration(n.c.w.Rand().Int64N(int64(n.c.delay)*4)), func() {
			if !n.c.healed && n.mayFall(m) {
				fallen = m
				n.c.kill(m, "ambush", n.c.w.Rand().Int64N(2) == 0)
			}
		})
	}
	return "ambush", func() {
		n.trap = nil
		if fallen != nil {
			n.c.revive(fallen)
		}
	}
}

func (n *nemesis) stop(m *machine) (string, func()) {
	if !n.mayFall(m) {
		return "", nil
	}
	over := false
	n.c.stop(m, func() { over = true })
	var mend func()
	mend = func() {
		if !over {
			n.c.w.After(100*time.Millisecond, mend)
			return
		}
		n.c.revive(m)
	}
	return "stop", mend
}

func (n *nemesis) addresses() (ids []int32) {
	for _, m := range n.c.machines {
		ids = append(ids, m.n)
	}
	return ids
}

func (n *nemesis) isolate(m *machine) (string, func()) {
	n.c.net.Isolate(m.n, n.addresses(), true)
	return "isolate", func() { n.c.net.Isolate(m.n, n.addresses(), false) }
}

// other draws another machine.
func (n *nemesis) other(m *machine) *machine {
	ms := n.c.machines
	return ms[(int(m.n)+int(n.c.w.Rand().Int64N(int64(len(ms)-1))))%len(ms)]
}

func (n *nemesis) oneWay(m *machine) (string, func()) {
	o := n.other(m)
	from, to := m.n, o.n
	if n.c.w.Rand().Int64N(2) == 0 {
		from, to = to, from
	}
	n.c.net.Block(from, to, true)
	return "one way", func() { n.c.net.Block(from, to, false) }
}

func (n *nemesis) bridge(m *machine) (string, func()) {
	o := n.other(m)
	n.c.net.Isolate(m.n, []int32{o.n}, true)
	return "bridge", func() { n.c.net.Isolate(m.n, []int32{o.n}, false) }
}

func (n *nemesis) loss(*machine) (string, func()) {
	n.c.net.Loss = 1 + n.c.w.Rand().Int64N(200)
	return "loss", func() { n.c.net.Loss = 0 }
}

func (n *nemesis) slow(*machine) (string, func()) {
	n.c.net.MaxDelay = time.Duration(1+n.c.w.Rand().Int64N(150)) * time.Millisecond
	return "slow", func() { n.c.net.MaxDelay = n.c.delay }
}

func (n *nemesis) stall(m *machine) (string, func()) {
	m.disk.stall(true)
	return "stall", func() {
		// Some stalls outlast the time after which a leader gives up.
		n.c.w.After(time.Duration(max(0, n.c.w.Rand().Int64N(int64(5*time.Second))-int64(2*time.Second))), func() { m.disk.stall(false) })
	}
}

// blackout takes the power from all machines at once.
func (n *nemesis) blackout(*machine) (string, func()) {
	c := n.c
	for _, m := range c.machines {
		if m.up == nil {
			continue
		}
		c.kill(m, "power cut", false)
		lost, err := m.disk.powerCut()
		if err != nil {
			c.violate("run", "m%d: power cut: %v", m.n, err)
		}
		c.w.Trace("m%d: %d files lost what was not synced", m.n, lost)
	}
	return "blackout", func() {
		for _, m := range c.machines {
			c.revive(m)
		}
	}
}

// diskError has the victim's next commit of some file fail. The replica behind it is lost, or with meta.db the process.
func (n *nemesis) diskError(*machine) (string, func()) {
	d := n.victim.disk
	r := n.c.w.Rand()
	if n.errors == 0 || n.victim.up == nil || !n.victim.up.ready {
		return "", nil
	}
	n.errors--
	d.after = r.Int64N(2) == 0
	if d.fail = "meta.db"; r.Int64N(3) > 0 {
		s := n.c.clients.slots[r.Int64N(int64(len(n.c.clients.slots)))]
		d.fail = fmt.Sprintf("%016x-", s.group)
	}
	n.c.w.Trace("m%d: the next commit of %s fails (reaches the disk: %v)", n.victim.n, d.fail, d.after)
	return "disk error", func() { d.fail = "" }
}

// clock restarts a broker with a clock that is wrong by up to two minutes. While it runs the clock does not jump: durations
// are taken from the monotonic clock, which a wrong wall clock does not move, and the world has only one.
func (n *nemesis) clock(m *machine) (string, func()) {
	if !n.mayFall(m) {
		return "", nil
	}
	m.skew = time.Duration(n.c.w.Rand().Int64N(int64(4*time.Minute))) - 2*time.Minute
	n.c.kill(m, "restart with a wrong clock", true)
	n.c.revive(m)
	return "clock", func() { m.skew = 0 }
}

// heal mends everything and ends the faults.
func (c *Cluster) heal() {
	c.healed = true
	c.w.Trace("HEAL")
	c.net.Loss, c.net.MaxDelay = 0, c.delay
	for _, m := range c.machines {
		c.net.Isolate(m.n, c.faulter.addresses(), false)
		m.disk.stall(false)
		m.disk.fail = ""
	}
	for _, m := range c.machines {
		c.revive(m)
	}
}
