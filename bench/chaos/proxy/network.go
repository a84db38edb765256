package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
)

// Node is one broker. Front addresses are served here, behind each is the broker's own.
type Node struct {
	Number                              int // from 1
	Peer, Gossip, Client                string
	FrontPeer, FrontGossip, FrontClient string
	PID                                 func() int // of its process, 0 if none runs

	at        *net.UDPAddr   // its own gossip port
	source    netip.AddrPort // the same
	datagrams *net.UDPConn   // at its front

	mu        sync.Mutex
	listeners []net.Listener // of TCP; nil while Shut
}

// Network is the proxy of a cluster.
type Network struct {
	nodes []*Node // nodes[i].Number is i+1
	paths map[[2]int]*path

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	conns  map[*link]struct{}
	rand   *rand.Rand
	counts Counts
}

// Counts is what passed, and did not.
type Counts struct {
	Connections  int
	Unknown      int // connections that were closed because nobody known had opened them
	Passed, Lost int // datagrams
}

// New serves the front addresses of all nodes. Close ends it.
func New(nodes []*Node, seed uint64) (*Network, error) {
	n := &Network{nodes: nodes, paths: map[[2]int]*path{}, conns: map[*link]struct{}{}, rand: rand.New(rand.NewPCG(seed, 7))}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	for a := range len(nodes) + 1 {
		for b := range len(nodes) + 1 {
			n.paths[[2]int{a, b}] = newPath()
		}
	}
	for _, x := range nodes {
		var err error
		if x.source, err = netip.ParseAddrPort(x.Gossip); err == nil {
			x.at = net.UDPAddrFromAddrPort(x.source)
			x.datagrams, err = listenUDP(x.FrontGossip)
		}
		if err == nil {
			err = n.Open(x.Number)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("proxy of broker %d: %w", x.Number, err), n.Close())
		}
	}
	for _, x := range nodes {
		n.wg.Go(func() { n.gossip(x) })
	}
	return n, nil
}

func listenUDP(address string) (*net.UDPConn, error) {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return net.ListenUDP("udp4", net.UDPAddrFromAddrPort(a))
}

// Close ends everything.
func (n *Network) Close() error {
	n.cancel()
	for _, x := range n.nodes {
		n.Shut(x.Number)
		if x.datagrams != nil {
			_ = x.datagrams.Close() // ends its reader
		}
	}
	n.breakConns(func(*link) bool { return true })
	n.wg.Wait()
	return nil
}

// Open takes connections for a node.
func (n *Network) Open(number int) error {
	x := n.nodes[number-1]
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.listeners != nil {
		return nil
	}
	for _, a := range []struct{ front, to string }{{x.FrontPeer, x.Peer}, {x.FrontGossip, x.Gossip}, {x.FrontClient, x.Client}} {
		l, err := net.Listen("tcp", a.front)
		if err != nil {
			return err
		}
		x.listeners = append(x.listeners, l)
		n.wg.Go(func() { n.accept(l, x, a.to) })
	}
	return nil
}

// Shut refuses connections for a node, as the machine of a process that has died does. Those that are open end with the process.
func (n *Network) Shut(number int) {
	x := n.nodes[number-1]
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range x.listeners {
		_ = l.Close() // ends its acceptor
	}
	x.listeners = nil
}

// Pair is a direction: what From sends to To. 0 is the clients.
type Pair struct{ From, To int }

// Cut takes nothing more on these paths until Heal is called as often.
func (n *Network) Cut(pairs ...Pair) {
	for _, x := range pairs {
		p := n.path(x)
		p.change(func() { p.cuts++ })
	}
}

// Heal undoes one Cut. With reset, all connections that use the paths are broken: what was on its way is lost.
func (n *Network) Heal(reset bool, pairs ...Pair) {
	hit := map[Pair]bool{}
	for _, x := range pairs {
		hit[x] = true
	}
	if reset {
		n.breakConns(func(l *link) bool { return hit[Pair{l.from, l.to}] || hit[Pair{l.to, l.from}] })
	}
	for _, x := range pairs {
		p := n.path(x)
		p.change(func() { p.cuts = max(0, p.cuts-1) })
	}
}

// Slow slows paths; the zero Slow is as fast as ever.
func (n *Network) Slow(s Slow, pairs ...Pair) {
	for _, x := range pairs {
		p := n.path(x)
		p.change(func() { p.slow = s })
	}
}

// Drop loses this share of the datagrams on paths.
func (n *Network) Drop(share float64, pairs ...Pair) {
	for _, x := range pairs {
		p := n.path(x)
		p.change(func() { p.drop = share })
	}
}

// HealAll undoes everything.
func (n *Network) HealAll() {
	for _, p := range n.paths {
		p.change(func() { p.cuts, p.slow, p.drop = 0, Slow{}, 0 })
	}
}

// Hits counts what was held up, delayed or lost on paths because they were cut or slow. A cut that nothing met did nothing.
func (n *Network) Hits(pairs ...Pair) (sum int) {
	for _, x := range pairs {
		p := n.path(x)
		p.mu.Lock()
		sum += p.hits
		p.mu.Unlock()
	}
	return sum
}

// Counts of the time since New.
func (n *Network) Counts() Counts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counts
}

func (n *Network) path(x Pair) *path { return n.paths[[2]int{x.From, x.To}] }

// gossip passes on the datagrams for a node.
func (n *Network) gossip(x *Node) {
	buf := make([]byte, 64<<10)
	for {
		size, from, err := x.datagrams.ReadFromUDPAddrPort(buf)
		if err != nil {
			if n.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error of an earlier send
		}
		for _, s := range n.nodes {
			if s.source != from {
				continue
			}
			if n.passes(n.path(Pair{s.Number, x.Number})) {
				_, _ = s.datagrams.WriteToUDP(buf[:size], x.at) // a datagram may be lost
			}
			break
		}
	}
}

// passes draws a datagram's fate.
func (n *Network) passes(p *path) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.loses(n.rand.Float64()) {
		n.counts.Lost++
		return false
	}
	n.counts.Passed++
	return true
}
