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
		m := &machine{c: c, n: i, up: &boot{ready: true, proc: c.w.Process("broker")}}
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

// TestPartitionsAreThoseOfTheFaultTable looks at who reaches whom while each partition holds (bench/chaos/README.md).
func TestPartitionsAreThoseOfTheFaultTable(t *testing.T) {
	for _, x := range []struct {
		name string
		do   func(*nemesis, *machine) (string, func())
		// want tells what a set of ways that are cut must be, with m the machine that was aimed at.
		want func(cut func(from, to int32) bool, m int32) bool
	}{
		{"isolate", (*nemesis).isolate, func(cut func(from, to int32) bool, m int32) bool {
			return all(func(a, b int32) bool { return cut(a, b) == (a == m || b == m) })
		}},
		{"half", (*nemesis).half, func(cut func(from, to int32) bool, m int32) bool {
			with := 0
			for a := int32(1); a <= 5; a++ {
				if !cut(a, m) {
					with++
				}
			}
			return with == 2 && all(func(a, b int32) bool { return cut(a, b) == (cut(a, m) != cut(b, m)) })
		}},
		{"one way", (*nemesis).oneWay, func(cut func(from, to int32) bool, m int32) bool {
			return all(func(a, b int32) bool { return cut(a, b) == (a == m) }) || all(func(a, b int32) bool { return cut(a, b) == (b == m) })
		}},
		{"bridge", (*nemesis).bridge, func(cut func(from, to int32) bool, m int32) bool {
			one := m%5 + 1 // any other machine, to tell the sides
			with := 0
			for a := int32(1); a <= 5; a++ {
				if a != m && !cut(a, one) {
					with++
				}
			}
			return with == 2 && all(func(a, b int32) bool { return cut(a, b) == (a != m && b != m && cut(a, one) != cut(b, one)) })
		}},
	} {
		for m := range int32(5) {
			n := quiet()
			for range m {
				n.c.w.Rand().Uint64() // other draws each time
			}
			_, mend := x.do(n, n.c.machines[m])
			n.talk()
			cut := func(from, to int32) bool { return n.c.net.Cut(from, to) > 0 }
			if !x.want(cut, m+1) {
				t.Errorf("%s, aimed at machine %d, is another partition: %v", x.name, m+1, n.cuts)
			}
			mend()
		}
	}
}

// all tells whether something holds for all ways between five machines.
func all(f func(a, b int32) bool) bool {
	for a := int32(1); a <= 5; a++ {
		for b := int32(1); b <= 5; b++ {
			if a != b && !f(a, b) {
				return false
			}
		}
	}
	return true
}
