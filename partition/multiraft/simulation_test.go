package multiraft

import (
	"fmt"
	"testing"
	"time"
)

// simulate runs a cluster for a spell of virtual time under writes and faults, heals it, checks it and gives the hash of its
// history.
func simulate(t *testing.T, seed uint64, brokers int, spell time.Duration) uint64 {
	t.Helper()
	c := newCluster(t, seed, brokers)
	if seed%2 == 1 {
		c.tick = 10 * time.Second // as brokerd has it: nothing may wait for it
	}
	groups := []uint64{1, 2}
	for _, g := range groups {
		c.addGroup(g, brokers)
	}
	c.startAll()
	r := c.w.Rand()
	end := spell
	proposed, faults := 0, make(map[string]int)

	var write func()
	write = func() {
		if c.w.Now() >= end {
			return
		}
		g := groups[r.Int64N(int64(len(groups)))]
		if n := c.leader(g); n != nil {
			for range 1 + r.Int64N(4) {
				proposed++
				n.ledgers[g].propose(fmt.Sprintf("%d", proposed))
			}
		}
		c.w.After(time.Duration(1+r.Int64N(20))*time.Millisecond, write)
	}
	write()

	// Faults come one at a time and heal after a while.
	var fault func()
	fault = func() {
		if c.w.Now() >= end {
			return
		}
		id := c.ids[r.Int64N(int64(len(c.ids)))]
		if l := c.leader(groups[r.Int64N(int64(len(groups)))]); l != nil && r.Int64N(2) == 0 {
			id = l.id // faults of leaders tell more
		}
		other := c.ids[(int(id)+int(r.Int64N(int64(brokers-1))))%brokers]
		pause := time.Duration(50+r.Int64N(1500)) * time.Millisecond
		heal := func() {}
		switch r.Int64N(7) {
		case 0:
			faults["kill"]++
			c.kill(id)
			if r.Int64N(2) == 0 {
				c.refused(id)
			}
			heal = func() { c.start(id) }
		case 1:
			faults["quick restart"]++
			c.kill(id)
			c.start(id)
		case 2:
			faults["isolate"]++
			c.net.Isolate(id, c.ids, true)
			heal = func() { c.net.Isolate(id, c.ids, false) }
		case 3:
			faults["one way"]++
			c.net.Block(id, other, true)
			heal = func() { c.net.Block(id, other, false) }
		case 4:
			faults["loss"]++
			c.net.Loss = 1 + r.Int64N(200)
			heal = func() { c.net.Loss = 0 }
		case 5:
			faults["slow"]++
			c.net.MaxDelay = time.Duration(1+r.Int64N(150)) * time.Millisecond
			heal = func() { c.net.MaxDelay = time.Millisecond }
		case 6:
			g := groups[r.Int64N(int64(len(groups)))]
			if n := c.leader(g); n != nil {
				faults["transfer"]++
				n.groups[g].TransferLeader(g*100 + uint64(other))
			}
		}
		c.w.After(pause, func() {
			heal()
			c.w.After(time.Duration(r.Int64N(1500))*time.Millisecond, fault)
		})
	}
	c.w.After(time.Second, fault)

	c.w.Run(end + 4*time.Second) // the last fault heals
	for _, g := range groups {
		c.put(g, fmt.Sprintf("last of group %d", g))
		c.settled(g)
	}
	acked := len(c.acked[1]) + len(c.acked[2])
	t.Logf("seed %d: %d proposed, %d acked, %d sessions, faults %v, %d packets lost", seed, proposed, acked, len(c.leaders), faults, c.net.Lost())
	if acked*2 < proposed {
		t.Errorf("only %d of %d proposals were acked: the run proves too little", acked, proposed)
	}
	return c.w.Hash()
}

func TestSimulationKeepsEveryAckedRecord(t *testing.T) {
	seeds, spell := uint64(6), 15*time.Second
	if testing.Short() {
		seeds, spell = 2, 8*time.Second
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		brokers := 3
		if seed%3 == 0 {
			brokers = 5
		}
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { simulate(t, seed, brokers, spell) })
	}
}

func TestSimulationReplaysBitByBit(t *testing.T) {
	spell := 8 * time.Second
	if testing.Short() {
		spell = 3 * time.Second
	}
	var hashes [3]uint64
	for i, seed := range []uint64{42, 42, 43} {
		t.Run(fmt.Sprintf("run %d seed %d", i, seed), func(t *testing.T) { hashes[i] = simulate(t, seed, 3, spell) })
	}
	if hashes[0] != hashes[1] {
		t.Errorf("the same seed gave two histories: %x and %x", hashes[0], hashes[1])
	}
	if hashes[0] == hashes[2] {
		t.Errorf("another seed gave the same history: %x", hashes[0])
	}
}
