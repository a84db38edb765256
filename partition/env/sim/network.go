package sim

import "time"

// Network carries calls between numbered addresses: each Send is one delivery, late, lost or refused as the test likes.
// Deliveries from one address to another on one lane keep their order.
type Network struct {
	w *World
	// MinDelay and MaxDelay bound the time on the way.
	MinDelay, MaxDelay time.Duration
	// Loss is the share of sends that are lost on the way, in thousandths.
	Loss int64

	blocked map[link]bool
	down    map[int32]bool
	last    map[flow]time.Duration // when the newest delivery of a flow arrives
	sent    uint64
	lost    uint64
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
		blocked: make(map[link]bool), down: make(map[int32]bool), last: make(map[flow]time.Duration),
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
		return true
	}
	at = max(at, n.last[f]+1)
	n.last[f] = at
	n.w.After(at-n.w.now, func() {
		// What was on its way when the link was cut is lost too.
		if n.blocked[f.link] || n.down[to] {
			n.lost++
			return
		}
		deliver()
	})
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

// Down says that nothing listens at an address, or that something does again.
func (n *Network) Down(id int32, down bool) { n.down[id] = down }

// Lost is how many sends did not arrive so far.
func (n *Network) Lost() uint64 { return n.lost }
