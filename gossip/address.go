package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// lookupTimeout bounds one DNS lookup, so that a dead name server delays a round of rejoining only so much.
const lookupTimeout = 3 * time.Second

// splitHostPort parses host:port. A missing port is an error unless optional, then it is 0.
func splitHostPort(addr string, optional bool) (host string, port int, err error) {
	h, p, err := net.SplitHostPort(addr)
	if err != nil {
		if optional {
			if h, _, err = net.SplitHostPort(net.JoinHostPort(addr, "0")); err == nil {
				return h, 0, nil
			}
		}
		return "", 0, fmt.Errorf("gossip: address %q is not host:port: %w", addr, err)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("gossip: address %q: port %q is not a number from 0 to 65535", addr, p)
	}
	return h, int(n), nil
}

// lookup resolves a host to addresses, IPv4 first, then by value: a stable order.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	as, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("gossip: resolve %q: %w", host, err)
	}
	for i := range as {
		as[i] = as[i].Unmap()
	}
	slices.SortFunc(as, func(a, b netip.Addr) int {
		if a.Is4() != b.Is4() {
			if a.Is4() {
				return -1
			}
			return 1
		}
		return a.Compare(b)
	})
	return slices.Compact(as), nil
}

// advertised is what to tell others. A name is resolved until it is known or ctx ends: in Kubernetes a pod's own name
// appears only after it started.
func advertised(ctx context.Context, addr string, every time.Duration, log *slog.Logger) (ip string, port int, err error) {
	if addr == "" {
		return "", 0, nil
	}
	host, port, err := splitHostPort(addr, true)
	if err != nil {
		return "", 0, err
	}
	retry := time.NewTicker(every)
	defer retry.Stop()
	for told := false; ; told = true {
		as, err := lookup(ctx, host)
		switch {
		case err == nil && as[0].IsUnspecified():
			return "", 0, fmt.Errorf("gossip: %q cannot be advertised: others cannot reach it; name an address or a host of this machine", addr)
		case err == nil:
			return as[0].String(), port, nil
		case !told:
			log.Warn("the advertised gossip address does not resolve yet, trying on", "address", addr, "error", err)
		}
		select {
		case <-ctx.Done():
			return "", 0, fmt.Errorf("gossip: the advertised address %q does not resolve: %w", addr, err)
		case <-retry.C:
		}
	}
}
