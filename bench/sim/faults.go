package sim

import (
	"slices"
	"time"
)

// Faults of machines and of the network. Those of disks are in diskfaults.go.

func (n *nemesis) kill(m *machine) (string, func()) {
	if !n.upAndReady(m) {
		return "", nil
	}
	n.c.kill(m, "kill", n.c.w.Rand().Int64N(2) == 0)
	return "kill", func() { n.c.revive(m) }
}

func (n *nemesis) restart(m *machine) (string, func()) {
	if !n.upAndReady(m) {
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
			if !n.c.healed && n.upAndReady(m) {
				fallen = m
				n.fired("ambush")
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
	if !n.upAndReady(m) {
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

// pause is SIGSTOP and SIGCONT.
func (n *nemesis) pause(m *machine) (string, func()) {
	if !n.upAndReady(m) {
		return "", nil
	}
	m.up.proc.Pause(true)
	n.c.net.Hold(m.n, true)
	b := m.up
	return "pause", func() {
		if m.up == b {
			m.resume()
		}
	}
}

// resume lets a paused broker go on.
func (m *machine) resume() {
	if m.up != nil {
		m.up.proc.Pause(false)
	}
	m.c.net.Hold(m.n, false)
}

// way is a direction between two machines.
type way struct{ from, to int32 }

// between are all ways between machines of two sides.
func between(one, two []*machine) (ways []way) {
	for _, x := range one {
		for _, y := range two {
			if x != y {
				ways = append(ways, way{x.n, y.n}, way{y.n, x.n})
			}
		}
	}
	return ways
}

// part cuts ways. A way that two partitions cut is open when both are mended.
func (n *nemesis) part(name string, ways []way) (string, func()) {
	block := func(by int) {
		for _, x := range ways {
			n.cuts[x] += by
			n.c.net.Block(x.from, x.to, n.cuts[x] > 0)
		}
	}
	block(1)
	lost := func() (sum uint64) {
		for _, x := range ways {
			sum += n.c.net.Cut(x.from, x.to)
		}
		return sum
	}
	return n.noticed(name, lost, func() { block(-1) })
}

func (n *nemesis) isolate(m *machine) (string, func()) {
	return n.part("isolate", between([]*machine{m}, n.c.machines))
}

// half parts two machines from the others.
func (n *nemesis) half(m *machine) (string, func()) {
	two := []*machine{m, n.other(m)}
	rest := slices.DeleteFunc(slices.Clone(n.c.machines), func(x *machine) bool { return slices.Contains(two, x) })
	return n.part("half", between(two, rest))
}

// oneWay has one machine hear all others and not be heard, or be heard and hear nobody.
func (n *nemesis) oneWay(m *machine) (string, func()) {
	deaf := n.c.w.Rand().Int64N(2) == 0
	ways := slices.DeleteFunc(between([]*machine{m}, n.c.machines), func(x way) bool { return (x.to == m.n) != deaf })
	return n.part("one way", ways)
}

// bridge parts the machines into two sides that have one machine in common: it reaches all others.
func (n *nemesis) bridge(m *machine) (string, func()) {
	r := n.c.w.Rand()
	rest := slices.DeleteFunc(slices.Clone(n.c.machines), func(x *machine) bool { return x == m })
	for i := range rest {
		j := i + int(r.Int64N(int64(len(rest)-i)))
		rest[i], rest[j] = rest[j], rest[i]
	}
	return n.part("bridge", between(rest[:len(rest)/2], rest[len(rest)/2:]))
}

func (n *nemesis) loss(*machine) (string, func()) {
	n.c.net.Loss = 1 + n.c.w.Rand().Int64N(200)
	return n.noticed("loss", n.c.net.Dropped, func() { n.c.net.Loss = 0 })
}

func (n *nemesis) duplicate(*machine) (string, func()) {
	n.c.net.Twice = 1 + n.c.w.Rand().Int64N(200)
	twice := func() uint64 { t, _ := n.c.net.Disorder(); return t }
	return n.noticed("duplicate", twice, func() { n.c.net.Twice = 0 })
}

func (n *nemesis) reorder(*machine) (string, func()) {
	n.c.net.Reorder = 1 + n.c.w.Rand().Int64N(200)
	reordered := func() uint64 { _, r := n.c.net.Disorder(); return r }
	return n.noticed("reorder", reordered, func() { n.c.net.Reorder = 0 })
}

func (n *nemesis) slow(*machine) (string, func()) {
	n.c.net.MaxDelay = n.c.delay + time.Duration(1+n.c.w.Rand().Int64N(150))*time.Millisecond
	return n.noticed("slow", func() uint64 { return n.slowed }, func() { n.c.net.MaxDelay = n.c.delay })
}

// arrived notes how long a message was on its way.
func (n *nemesis) arrived(sent time.Duration) {
	if n != nil && n.c.w.Now()-sent > n.c.delay {
		n.slowed++
	}
}

// clock restarts a broker with a clock that is wrong by up to two minutes.
func (n *nemesis) clock(m *machine) (string, func()) {
	if !n.upAndReady(m) {
		return "", nil
	}
	m.skew = time.Duration(n.c.w.Rand().Int64N(int64(4*time.Minute))) - 2*time.Minute
	n.c.kill(m, "restart with a wrong clock", true)
	n.c.revive(m)
	return "clock", func() { m.skew = 0 }
}

// setClock sets the clock of a running broker forward by so much in all; differences of its monotonic one go on as they were.
func (m *machine) setClock(jump time.Duration) {
	m.jump = jump
	if m.up != nil {
		m.up.proc.Jump(jump)
	}
}

// clockJump sets the clock of a running broker, and back.
func (n *nemesis) clockJump(m *machine) (string, func()) {
	if !n.upAndReady(m) {
		return "", nil
	}
	jump := agedAfter + time.Duration(n.c.w.Rand().Int64N(int64(agedAfter)))
	if n.c.w.Rand().Int64N(4) == 0 {
		jump = -jump
	}
	m.setClock(jump)
	return n.noticed("clock jump", func() uint64 { return m.jumped }, func() { m.setClock(0) })
}
