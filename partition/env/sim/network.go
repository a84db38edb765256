package sim

import "time"

// Network carries calls between numbered addresses: each Send is one delivery, late, lost or refused as the test likes.
// Deliveries from one address to another on one lane keep their order, unless Reorder says otherwise.
type Network struct {
	w *World
	// MinDelay and MaxDelay bound the time on the way.
	MinDelay, MaxDelay time.Duration
	// Loss is the share of sends that are lost on the way, in thousandths.
	Loss int64
	// Twice is the share of sends, in thousandths, that are delivered twice, and Reorder the share that comes out of the order of its
	// lane. Only the Loose lanes are so treated.
	Twice, Reorder int64
	Loose          map[int]bool

	blocked map[link]bool
	held    map[int32][]func() // what waits for an address that is held
	down    map[int32]bool
	last    map[flow]time.Duration // when the newest delivery of a flow arrives
	sent    uint64
	lost    uint64
	dropped uint64
	cut     map[link]uint64 // what was lost because its way was blocked

	twice, reordered uint64
}

type link struct{ from, to int32 }

type flow struct {
	link
	lane int
}

// NewNetwork makes a network with delays between 100 µs and 1 ms and no loss.
func (w *World) NewNetwork() *Network {
	return &Network{
		w: w, MinDelay: 100 * time.Microsecond, MaxDelay: time.Millisecond,
		blocked: make(map[link]bool), cut: make(map[link]uint64), held: make(map[int32][]func()), down: make(map[int32]bool), last: make(map[flow]time.Duration),
	}
}

// Send has deliver called later, unless the way is blocked or the message is lost. It tells false, as a transport would
// that knows, only if the target is down.
func (n *Network) Send(from, to int32, lane int, deliver func()) bool {
	if n.down[to] || n.down[from] {
		return false
	}
	n.sent++
	f := flow{link{from, to}, lane}
	at := n.w.now + n.MinDelay
	if spread := n.MaxDelay - n.MinDelay; spread > 0 {
		at += time.Duration(n.w.rand.Int64N(int64(spread)))
	}
	if n.Loss > 0 && n.w.rand.Int64N(1000) < n.Loss {
		n.lost++
		n.dropped++
		return true
	}
	if n.Reorder > 0 && n.Loose[lane] && n.w.rand.Int64N(1000) < n.Reorder {
		at += time.Duration(n.w.rand.Int64N(int64(3*n.MaxDelay) + 1))
		n.reordered++
	} else {
		at = max(at, n.last[f]+1)
		n.last[f] = at
	}
	arrive := func() {
		// What was on its way when the link was cut is lost too.
		if n.blocked[f.link] || n.down[to] {
			n.lost++
			if n.blocked[f.link] {
				n.cut[f.link]++
			}
			return
		}
		if waiting, held := n.held[to]; held {
			n.held[to] = append(waiting, deliver)
			return
		}
		deliver()
	}
	n.w.After(at-n.w.now, arrive)
	if n.Twice > 0 && n.Loose[lane] && n.w.rand.Int64N(1000) < n.Twice {
		n.twice++
		n.w.After(at-n.w.now+time.Duration(n.w.rand.Int64N(int64(3*n.MaxDelay)+1)), arrive)
	}
	return true
}

// Block cuts one direction between two addresses, or mends it.
func (n *Network) Block(from, to int32, cut bool) { n.blocked[link{from, to}] = cut }

// Isolate cuts an address off from others both ways, or mends that.
func (n *Network) Isolate(id int32, others []int32, cut bool) {
	for _, o := range others {
		if o != id {
			n.Block(id, o, cut)
			n.Block(o, id, cut)
		}
	}
}

// Hold keeps what arrives at an address until it is let go: whoever is there is stopped and reads nothing.
func (n *Network) Hold(id int32, on bool) {
	waiting, held := n.held[id]
	switch {
	case on && !held:
		n.held[id] = nil
	case !on && held:
		delete(n.held, id)
		for i, deliver := range waiting {
			n.w.After(time.Duration(i), func() {
				if !n.down[id] {
					deliver()
				}
			})
		}
	}
}

// Down says that nothing listens at an address, or that something does again.
func (n *Network) Down(id int32, down bool) {
	n.down[id] = down
	if _, held := n.held[id]; held && down {
		n.held[id] = nil
	}
}

// Lost is how many sends did not arrive so far.
func (n *Network) Lost() uint64 { return n.lost }

// Dropped is how many of them Loss took.
func (n *Network) Dropped() uint64 { return n.dropped }

// Cut is how many of them met a block of the way from one address to another.
func (n *Network) Cut(from, to int32) uint64 { return n.cut[link{from, to}] }

// Disorder is how many sends were delivered twice so far, and how many out of their order.
func (n *Network) Disorder() (twice, reordered uint64) { return n.twice, n.reordered }
