package sim

import (
	"time"
)

// nemesis breaks and mends. One or two faults are under way at a time.
type nemesis struct {
	c      *Cluster
	victim *machine // the only one whose disk ever loses or damages anything: a majority must stay sound
	trap   func(m *machine)
	least  []fault // that this run begins with, so that many runs fire all
	cuts   map[way]int
	slowed uint64 // messages of raft's that took longer than the sound network lets them
}

// fault breaks something and answers how to mend it; "" if it found nothing to break.
type fault struct {
	name   string
	weight int64
	do     func(n *nemesis, m *machine) (name string, mend func())
	// late faults may come to nothing. They count themselves when they have done something.
	late bool
}

var faults = []fault{
	{"kill", 4, (*nemesis).kill, false},
	{"restart", 3, (*nemesis).restart, false},
	{"ambush", 3, (*nemesis).ambush, true},
	{"stop", 2, (*nemesis).stop, false},
	{"pause", 2, (*nemesis).pause, false},
	{"isolate", 3, (*nemesis).isolate, true},
	{"half", 2, (*nemesis).half, true},
	{"one way", 3, (*nemesis).oneWay, true},
	{"bridge", 2, (*nemesis).bridge, true},
	{"loss", 2, (*nemesis).loss, true},
	{"duplicate", 1, (*nemesis).duplicate, true},
	{"reorder", 1, (*nemesis).reorder, true},
	{"slow", 2, (*nemesis).slow, true},
	{"stall", 3, (*nemesis).stall, true},
	{"blackout", 1, (*nemesis).blackout, false},
	{"lose unsynced", 3, (*nemesis).loseUnsynced, true},
	{"disk error", 1, (*nemesis).diskError, true},
	{"disk full", 2, (*nemesis).diskFull, true},
	{"bit flip", 1, (*nemesis).bitFlip, false},
	{"wiped disk", 1, (*nemesis).wipe, false},
	{"clock", 1, (*nemesis).clock, false},
	{"clock jump", 1, (*nemesis).clockJump, true},
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
	n := &nemesis{c: c, victim: c.machines[r.Int64N(int64(len(c.machines)))], cuts: map[way]int{}}
	// Each seed begins with the fault of its turn, so that no kind is left to chance alone.
	n.least = []fault{faults[c.cfg.Seed%uint64(len(faults))]}
	c.faulter = n
	n.loop()
	n.loop()
}

func (n *nemesis) loop() {
	c := n.c
	r := c.w.Rand()
	c.w.After(time.Duration(50+r.Int64N(500))*time.Millisecond, func() {
		if c.healed {
			return
		}
		name, mend := n.draw()
		if name == "" {
			n.loop()
			return
		}
		c.w.Trace("FAULT %s", name)
		pause := time.Duration(50+r.Int64N(1500)) * time.Millisecond
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
	if len(n.least) > 0 {
		name, mend := n.strike(n.least[0])
		if name != "" {
			n.least = n.least[1:]
		}
		return name, mend
	}
	r := n.c.w.Rand()
	total := int64(0)
	for _, f := range faults {
		total += f.weight
	}
	at := r.Int64N(total)
	for _, f := range faults {
		if at < f.weight {
			return n.strike(f)
		}
		at -= f.weight
	}
	return "", nil
}

func (n *nemesis) strike(f fault) (string, func()) {
	name, mend := f.do(n, n.aim())
	if name != "" && !f.late {
		n.fired(name)
	}
	return name, mend
}

// fired counts a fault that has done something.
func (n *nemesis) fired(name string) { n.c.report.Faults[name]++ }

// noticed is a late fault that counts when it is mended, if a counter of what it did has risen.
func (n *nemesis) noticed(name string, counter func() uint64, mend func()) (string, func()) {
	before := counter()
	return name, func() {
		if counter() > before {
			n.fired(name)
		}
		mend()
	}
}

// aim draws a machine; faults of leaders tell more.
func (n *nemesis) aim() *machine {
	c := n.c
	r := c.w.Rand()
	if r.Int64N(2) == 0 {
		if m := c.byBroker[c.anySlot().hint]; m != nil {
			return m
		}
	}
	return c.machines[r.Int64N(int64(len(c.machines)))]
}

// other draws another machine.
func (n *nemesis) other(m *machine) *machine {
	ms := n.c.machines
	return ms[(int(m.n)+int(n.c.w.Rand().Int64N(int64(len(ms)-1))))%len(ms)]
}

// upAndReady tells whether a machine can be struck: those that are down already would teach nothing but waiting.
func (n *nemesis) upAndReady(m *machine) bool { return m.up != nil && m.up.ready && !m.up.over }

func (n *nemesis) addresses() (ids []int32) {
	for _, m := range n.c.machines {
		ids = append(ids, m.n)
	}
	return ids
}

// heal mends everything and ends the faults.
func (c *Cluster) heal() {
	c.healed = true
	c.w.Trace("HEAL")
	c.net.Loss, c.net.Twice, c.net.Reorder, c.net.MaxDelay = 0, 0, 0, c.delay
	c.faulter.trap = nil
	clear(c.faulter.cuts)
	for _, m := range c.machines {
		c.net.Isolate(m.n, c.faulter.addresses(), false)
		m.resume()
		m.disk.stall(false)
		m.disk.fail, m.disk.dies, m.disk.full = "", nil, false
		m.skew = 0
		m.setClock(0)
	}
	for _, m := range c.machines {
		c.revive(m)
	}
}
