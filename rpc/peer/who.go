package peer

import "context"

// Who asks whoever listens on addr for its identity, as a stranger that belongs to no cluster. Errors: nobody answers, or not in
// this protocol.
func (p *Peers) Who(ctx context.Context, addr string) (Identity, error) {
	raw, err := p.connect(ctx, addr)
	if err != nil {
		return Identity{}, err
	}
	defer raw.Close()
	self := p.cfg.Identity()
	return p.greet(ctx, raw, Identity{Nonce: self.Nonce, Version: self.Version}, 0)
}
