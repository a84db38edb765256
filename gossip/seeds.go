package gossip

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// maxPings caps the pings of one round that look for the member behind a seed's address.
const maxPings = 16

// seedTable is what is known about the seeds. The rejoin goroutine writes it, anyone reads it.
type seedTable struct {
	seeds []string // as configured

	mu       sync.Mutex
	resolved map[string][]string // seed -> ip:port, the newest successful lookup
	proven   map[string]uint64   // ip:port -> boot nonce of the process that answered there
}

func newSeedTable(seeds []string) (*seedTable, error) {
	for _, s := range seeds {
		host, port, err := splitHostPort(s, false)
		if err != nil {
			return nil, err
		}
		if host == "" || port == 0 {
			return nil, fmt.Errorf("gossip: seed %q needs a host and a port above 0", s)
		}
	}
	return &seedTable{seeds: slices.Clone(seeds), resolved: map[string][]string{}, proven: map[string]uint64{}}, nil
}

// resolve looks one seed up. If that fails, the former answer stands: a name server's pause is not a lost seed.
func (t *seedTable) resolve(ctx context.Context, seed string) ([]string, error) {
	host, port, err := splitHostPort(seed, false)
	if err != nil {
		return nil, err
	}
	ips, err := lookup(ctx, host)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		return t.resolved[seed], err
	}
	addrs := make([]string, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, net.JoinHostPort(ip.String(), strconv.Itoa(port)))
	}
	t.resolved[seed] = addrs
	return addrs, nil
}

// prove records that the process with this boot nonce answered at addr.
func (t *seedTable) prove(addr string, nonce uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.proven[addr] = nonce
}

// answer is the map that Decide takes: for each seed its addresses parted by commas, or, where a ping proved who is
// there, that member's advertised address.
func (t *seedTable) answer(members []Member) map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]string, len(t.resolved))
	for seed, addrs := range t.resolved {
		out[seed] = strings.Join(addrs, ",")
		for _, a := range addrs {
			i := slices.IndexFunc(members, func(m Member) bool { return m.Nonce == t.proven[a] })
			if i >= 0 {
				out[seed] = members[i].Addr
			}
		}
	}
	return out
}

// missing lists the seeds that are not seen as members.
func (t *seedTable) missing(self Member, members []Member) []string {
	resolved := t.answer(members)
	var out []string
	for _, s := range t.seeds {
		if _, ok := seedMember(resolved[s], self, members); !ok {
			out = append(out, s)
		}
	}
	return out
}

// rejoin is one round: resolve and join each seed that is not seen, then find out by ping who is behind an address that
// nobody advertises.
func (g *Gossip) rejoin(ctx context.Context) {
	missing := g.seeds.missing(g.Self(), g.Members())
	for _, seed := range missing {
		addrs, err := g.seeds.resolve(ctx, seed)
		if err != nil {
			g.log.Debug("seed does not resolve", "seed", seed, "error", err)
		}
		for _, a := range addrs {
			if a == g.Self().Addr || ctx.Err() != nil {
				continue
			}
			result := "ok"
			if _, err := g.list.Join([]string{a}); err != nil {
				result = "failed"
				g.log.Debug("seed cannot be joined", "seed", seed, "address", a, "error", err)
			}
			g.metrics.rejoins.WithLabelValues(result).Inc()
		}
	}
	if g.Self().ClusterID == "" {
		g.proveSeeds(ctx)
	}
	missing = g.seeds.missing(g.Self(), g.Members())
	g.metrics.missingSeeds.Set(float64(len(missing)))
	if text := strings.Join(missing, ", "); text != g.toldMissing {
		g.toldMissing = text
		if text == "" {
			g.log.Info("all seeds are seen")
		} else {
			g.log.Info("seeds are not seen yet", "missing", text, "again_every", g.rejoinEvery)
		}
	}
	g.changed() // what the seeds resolve to is part of a decision
}

// proveSeeds pings each address of a seed that nobody advertises, once for each member that is at no seed. memberlist
// answers a ping only if it asks for the process's own name, and the name is the boot nonce.
func (g *Gossip) proveSeeds(ctx context.Context) {
	members := g.Members()
	resolved := g.seeds.answer(members)
	atSeed := map[uint64]bool{}
	for _, addrs := range resolved {
		if m, ok := seedMember(addrs, g.Self(), members); ok {
			atSeed[m.Nonce] = true
		}
	}
	left := maxPings
	for _, seed := range slices.Sorted(maps.Keys(resolved)) {
		if _, ok := seedMember(resolved[seed], g.Self(), members); ok {
			continue
		}
		for _, m := range members {
			addr, err := netip.ParseAddrPort(strings.Split(resolved[seed], ",")[0])
			if err != nil || atSeed[m.Nonce] || left == 0 || ctx.Err() != nil {
				continue
			}
			left--
			if _, err := g.list.Ping(nameOf(m.Nonce), net.UDPAddrFromAddrPort(addr)); err == nil {
				g.seeds.prove(addr.String(), m.Nonce)
				atSeed[m.Nonce] = true
				break
			}
		}
	}
}
