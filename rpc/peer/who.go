package peer

import (
	"context"
	"fmt"
	"net"
)

// Who asks whoever listens on addr for its identity, as a stranger that belongs to no cluster. Errors: nobody answers, or not in
// this protocol.
func (p *Peers) Who(ctx context.Context, addr string) (Identity, error) {
	d := net.Dialer{Timeout: connectTimeout, Control: socketOptions}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return Identity{}, fmt.Errorf("peer: connect to %s: %w", addr, err)
	}
	defer raw.Close()
	self := p.cfg.Identity()
	return p.greet(ctx, raw, Identity{Nonce: self.Nonce, Version: self.Version}, 0)
}
