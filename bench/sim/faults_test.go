package sim

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/env/sim"
)

// quiet is a nemesis over five machines on which nothing runs but what the test does.
func quiet() *nemesis {
	c := &Cluster{w: sim.New(1), delay: time.Millisecond, report: Report{Faults: map[string]int{}}}
	c.net = c.w.NewNetwork()
	c.net.Loose = map[int]bool{0: true}
	for i := int32(1); i <= 5; i++ {
		m := &machine{c: c, n: i, up: &boot{ready: true}}
		m.disk = newDisk(c, "")
		c.machines = append(c.machines, m)
	}
	c.faulter = &nemesis{c: c, victim: c.machines[0], cuts: map[way]int{}}
	return c.faulter
}

// talk has all machines send to all others, often.
func (n *nemesis) talk() {
	c := n.c
	for range 200 {
		for _, x := range between(c.machines, c.machines) {
			sent := c.w.Now()
			c.net.Send(x.from, x.to, 0, func() { n.arrived(sent) })
		}
	}
	c.w.Run(c.w.Now() + time.Second)
}

func TestAFaultThatMetNothingIsNotCounted(t *testing.T) {
	for _, f := range faults {
		switch f.name {
		case "isolate", "half", "one way", "bridge", "loss", "duplicate", "reorder", "slow":
		default:
			continue
		}
		n := quiet()
		count := func(during func()) int {
			n.talk() // what is lost before or after is not the fault's
			before := n.c.report.Faults[f.name]
			_, mend := f.do(n, n.c.machines[1])
			during()
			mend()
			n.talk()
			return n.c.report.Faults[f.name] - before
		}
		if got := count(func() {}); got != 0 {
			t.Errorf("%s: counted %d times, and nothing was sent", f.name, got)
		}
		if got := count(n.talk); got != 1 {
			t.Errorf("%s: counted %d times, want once", f.name, got)
		}
		lost := n.c.net.Lost()
		n.talk()
		if n.c.net.Lost() != lost {
			t.Errorf("%s: it was mended and messages are lost", f.name)
		}
	}
}

func TestAWayThatTwoPartitionsCutIsOpenOnceBothAreMended(t *testing.T) {
	n := quiet()
	_, first := n.isolate(n.c.machines[1])
	_, second := n.isolate(n.c.machines[1])
	first()
	lost := n.c.net.Lost()
	n.talk()
	if n.c.net.Lost() == lost {
		t.Error("the end of one partition ended the other")
	}
	second()
	lost = n.c.net.Lost()
	n.talk()
	if got := n.c.net.Lost() - lost; got != 0 {
		t.Errorf("both are mended, and %d messages are lost", got)
	}
}

func TestAClockThatNobodyReadsDidNotJump(t *testing.T) {
	n := quiet()
	m := n.c.machines[1]
	_, mend := n.clockJump(m)
	mend()
	if got := n.c.report.Faults["clock jump"]; got != 0 {
		t.Errorf("counted %d times, and no tick came between", got)
	}
	_, mend = n.clockJump(m)
	m.jumped++
	mend()
	if got := n.c.report.Faults["clock jump"]; got != 1 {
		t.Errorf("counted %d times, want once", got)
	}
	m.up = nil
	if name, _ := n.clockJump(m); name != "" {
		t.Error("the clock of a machine that is down jumped")
	}
}
