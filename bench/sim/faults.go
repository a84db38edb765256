package sim

import "time"

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
				n.c.report.Faults["ambush"]++
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

func (n *nemesis) isolate(m *machine) (string, func()) {
	n.c.net.Isolate(m.n, n.addresses(), true)
	return "isolate", func() { n.c.net.Isolate(m.n, n.addresses(), false) }
}

// half parts two machines from the others.
func (n *nemesis) half(m *machine) (string, func()) {
	o := n.other(m)
	part := func(cut bool) {
		for _, x := range n.c.machines {
			if x != m && x != o {
				n.c.net.Isolate(m.n, []int32{x.n}, cut)
				n.c.net.Isolate(o.n, []int32{x.n}, cut)
			}
		}
	}
	part(true)
	return "half", func() { part(false) }
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

// bridge cuts the link between two machines that both reach all others.
func (n *nemesis) bridge(m *machine) (string, func()) {
	o := n.other(m)
	n.c.net.Isolate(m.n, []int32{o.n}, true)
	return "bridge", func() { n.c.net.Isolate(m.n, []int32{o.n}, false) }
}

func (n *nemesis) loss(*machine) (string, func()) {
	n.c.net.Loss = 1 + n.c.w.Rand().Int64N(200)
	return "loss", func() { n.c.net.Loss = 0 }
}

func (n *nemesis) duplicate(*machine) (string, func()) {
	n.c.net.Twice = 1 + n.c.w.Rand().Int64N(200)
	return "duplicate", func() { n.c.net.Twice = 0 }
}

func (n *nemesis) reorder(*machine) (string, func()) {
	n.c.net.Reorder = 1 + n.c.w.Rand().Int64N(200)
	return "reorder", func() { n.c.net.Reorder = 0 }
}

func (n *nemesis) slow(*machine) (string, func()) {
	n.c.net.MaxDelay = time.Duration(1+n.c.w.Rand().Int64N(150)) * time.Millisecond
	return "slow", func() { n.c.net.MaxDelay = n.c.delay }
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

// clockJump sets the wall clock of a running broker, as far as that is told from the monotonic one (see tick).
func (n *nemesis) clockJump(m *machine) (string, func()) {
	m.jump = agedAfter + time.Duration(n.c.w.Rand().Int64N(int64(agedAfter)))
	if n.c.w.Rand().Int64N(4) == 0 {
		m.jump = -m.jump
	}
	return "clock jump", func() { m.jump = 0 }
}
