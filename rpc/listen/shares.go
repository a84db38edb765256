package listen

import (
	"net"
	"net/netip"
	"sync"
)

// shares bounds what each host may have of something, so that one alone cannot take it all.
type shares struct {
	most int

	mu sync.Mutex
	by map[netip.Addr]*share
}

type share struct {
	room  chan struct{}
	users int // who hold or wait for it; the last one removes it from the table
}

func newShares(most int) *shares { return &shares{most: most, by: map[netip.Addr]*share{}} }

// enter waits until the host has room, or until end. leave is nil if it had none.
func (s *shares) enter(a net.Addr, end <-chan struct{}) (leave func()) {
	host := HostOf(a)
	s.mu.Lock()
	one := s.by[host]
	if one == nil {
		one = &share{room: make(chan struct{}, s.most)}
		s.by[host] = one
	}
	one.users++
	s.mu.Unlock()
	gone := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(s.by, host)
		}
	}
	select {
	case one.room <- struct{}{}:
		return func() { <-one.room; gone() }
	case <-end:
		gone()
		return nil
	}
}

// HostOf is what counts as one host: the network of 64 bits for IPv6, of which one host may take any address, and the zero address for what is no IP address.
func HostOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	host := tcp.AddrPort().Addr().Unmap().WithZone("")
	if host.Is6() {
		host = netip.PrefixFrom(host, 64).Masked().Addr()
	}
	return host
}
