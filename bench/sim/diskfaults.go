package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/bench/check"
)

func (n *nemesis) stall(m *machine) (string, func()) {
	m.disk.stall(true)
	return n.noticed("stall", func() uint64 { return m.disk.heldBack }, func() {
		// Some stalls outlast the time after which a leader gives up.
		n.c.w.After(time.Duration(max(0, n.c.w.Rand().Int64N(int64(4*time.Second))-int64(2*time.Second))), func() { m.disk.stall(false) })
	})
}

// blackout takes the power from all machines at once.
func (n *nemesis) blackout(*machine) (string, func()) {
	c := n.c
	if !slices.ContainsFunc(c.machines, n.upAndReady) {
		return "", nil
	}
	for _, m := range c.machines {
		c.kill(m, "power cut", false)
		m.disk.powerCut() // also of what a broker that was killed before had written
	}
	return "blackout", func() {
		for _, m := range c.machines {
			c.revive(m)
		}
	}
}

// loseUnsynced takes the power from a machine in the midst of one of its next commits, or at its next sync of a file or folder: what is
// not synced is not on the disk, and what was sent before goes on its way. Now and then it sees to it that nobody else has what was lost.
func (n *nemesis) loseUnsynced(m *machine) (string, func()) {
	if !n.upAndReady(m) {
		return "", nil
	}
	if n.c.w.Rand().Int64N(2) == 0 {
		if mend := n.betray(n.c.anySlot()); mend != nil {
			return "lose unsynced", mend
		}
	}
	n.diesIn(m, moment(n.c.w.Rand().Int64N(2)), "", func() {})
	return "lose unsynced", func() {
		m.disk.dies = nil
		n.c.revive(m)
	}
}

// diesIn has a machine lose its power in its next commit, or at its next sync, of a file whose path contains a text.
func (n *nemesis) diesIn(m *machine, at moment, path string, then func()) {
	c, b := n.c, m.up
	m.disk.diesIn, m.disk.diesAt = path, at
	m.disk.dies = func() {
		b.over = true
		b.proc.Kill()
		n.fired("lose unsynced")
		c.w.After(0, func() {
			if m.up == b {
				c.kill(m, "power cut in a commit", false)
			}
			if m.up == nil { // else it runs again already
				m.disk.powerCut()
			}
			then()
		})
	}
}

// betray has one follower of a partition lose its power in a commit while the disks of the others hang, then the leader and those others die,
// and the followers go on without the leader. An acknowledgement that the first one sent before its commit was durable is then a lost write.
func (n *nemesis) betray(s *slot) (mend func()) {
	c := n.c
	t := c.newest().Topics[s.topic]
	leader := c.byBroker[s.hint]
	if t == nil || int(s.number) >= len(t.Partitions) || leader == nil || !n.upAndReady(leader) {
		return nil
	}
	var others []*machine
	for _, r := range t.Partitions[s.number].Replicas {
		if x := c.byBroker[r.Broker]; x != nil && x != leader && n.upAndReady(x) && x.up.id == r.Broker {
			others = append(others, x)
		}
	}
	if len(others) < 2 {
		return nil
	}
	first := int(c.w.Rand().Int64N(int64(len(others))))
	others[0], others[first] = others[first], others[0]
	traitor, rest := others[0], others[1:]
	for _, x := range rest {
		x.disk.stall(true)
	}
	goOn := func(die bool) {
		for _, x := range rest {
			if die {
				c.kill(x, "its disk hung", true)
			}
			x.disk.stall(false)
			c.revive(x)
		}
		c.revive(traitor)
	}
	n.diesIn(traitor, atCommit, folderOf(groupReplica{s.group, 0})[:17], func() {
		c.w.After(4*c.delay+5*time.Millisecond, func() {
			if !c.healed {
				c.kill(leader, "its follower lost power", true)
				goOn(true)
			}
		})
	})
	return func() {
		traitor.disk.dies = nil
		goOn(false)
		c.revive(leader)
	}
}

// mayDamage tells whether the victim may lose or damage what it stored: nobody else ever does, and not again before all that the last time
// cost is replaced. So each group has a majority of replicas that lost nothing, once the controller group has grown.
func (n *nemesis) mayDamage() bool {
	v, voters := n.victim, 0
	for _, r := range n.c.newest().Controller {
		if !r.Learner {
			voters++
		}
	}
	return n.upAndReady(v) && len(v.was) == 0 && v.disk.failed == 0 && voters >= 3
}

// diskError has the victim's next commit of some file fail. The replica behind it is lost, or with meta.db the process.
func (n *nemesis) diskError(*machine) (string, func()) {
	if !n.mayDamage() {
		return "", nil
	}
	d := n.victim.disk
	r := n.c.w.Rand()
	d.after = r.Int64N(2) == 0
	switch d.fail = "meta.db"; r.Int64N(4) {
	case 0:
	case 1:
		d.fail = folderOf(groupReplica{1, 0})[:17] // the controller group
	default:
		d.fail = folderOf(groupReplica{n.c.anySlot().group, 0})[:17]
	}
	n.c.w.Trace("m%d: the next commit of %s fails (reaches the disk: %v)", n.victim.n, d.fail, d.after)
	return "disk error", func() { d.fail = "" }
}

// diskFull has no write of a log find room: most disks say so before it begins, others in its midst.
func (n *nemesis) diskFull(m *machine) (string, func()) {
	if !n.upAndReady(m) {
		return "", nil
	}
	d := m.disk
	d.full, d.late = true, n.c.w.Rand().Int64N(3) == 0
	before := d.fulls
	return "disk full", func() {
		d.full = false
		if d.fulls > before {
			n.fired("disk full")
		}
	}
}

// bitFlip restarts the victim's broker with one bit turned of a record that it stores.
func (n *nemesis) bitFlip(*machine) (string, func()) {
	c, m := n.c, n.victim
	if !n.mayDamage() {
		return "", nil
	}
	r, text := n.pick()
	if text == "" {
		return "", nil
	}
	c.kill(m, "restart with a bit turned", true)
	m.disk.fail = ""
	places, err := m.disk.flip(r, text)
	if err != nil {
		c.violate("run", "m%d: turning a bit: %v", m.n, err)
	}
	if places > 0 {
		m.disk.failed++
		m.disk.flipped = true
	}
	c.w.Trace("m%d: a bit of %s is turned in replica %d: %v", m.n, text, r.replica, places > 0)
	c.revive(m)
	if places == 0 {
		return "", nil
	}
	return "bit flip", func() {}
}

// pick draws a record that was acknowledged, of a partition of which the victim has a replica.
func (n *nemesis) pick() (groupReplica, string) {
	c := n.c
	as := c.clients.history.Appends
	for range 20 {
		if len(as) == 0 {
			break
		}
		a := as[c.w.Rand().Int64N(int64(len(as)))]
		s := c.clients.slots[a.Partition]
		t := n.victim.up.ctl.State().Topics[s.topic]
		if a.Outcome != check.OK || t == nil || int(s.number) >= len(t.Partitions) { // its state may be an old one
			continue
		}
		if r, ok := t.Partitions[s.number].On(n.victim.up.id); ok {
			return groupReplica{s.group, r.ID}, a.Value()
		}
	}
	return groupReplica{}, ""
}

// wipe empties the victim's disk: its broker comes back as another one.
func (n *nemesis) wipe(*machine) (string, func()) {
	c, m := n.c, n.victim
	if !n.mayDamage() {
		return "", nil
	}
	id := m.up.id
	var lost []groupReplica
	for _, r := range m.up.store.Replicas() {
		lost = append(lost, groupReplica{r.Group, r.Replica})
	}
	m.disk.fail = ""
	c.kill(m, "wiped disk", c.w.Rand().Int64N(2) == 0)
	if err := m.disk.wipe(); err != nil {
		c.violate("run", "m%d: wiping the disk: %v", m.n, err)
	}
	c.elections.wipe(lost)
	m.was = append(m.was, id)
	c.removeWiped(m, id)
	return "wiped disk", func() { c.revive(m) }
}

func folderOf(r groupReplica) string { return fmt.Sprintf("%016x-%016x", r.group, r.replica) }
