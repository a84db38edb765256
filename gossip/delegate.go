package gossip

import (
	"fmt"

	"github.com/hashicorp/memberlist"
)

// delegate hands memberlist the own Meta. memberlist calls it with its own lock held: it must not call back.
type delegate struct{ g *Gossip }

func (d delegate) NodeMeta(int) []byte {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	return d.g.encoded // replaced, never changed; memberlist panics above MaxMeta, so only Encode makes it
}

func (delegate) NotifyMsg([]byte)                {}
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (delegate) LocalState(bool) []byte          { return nil }
func (delegate) MergeRemoteState([]byte, bool)   {}

// alive refuses a member whose announcement cannot be read or is not of the boot that its name says.
type alive struct{}

func (alive) NotifyAlive(n *memberlist.Node) error {
	m, err := DecodeMeta(n.Meta)
	if err != nil {
		return err
	}
	if n.Name != nameOf(m.Nonce) {
		return fmt.Errorf("gossip: member %q announces boot nonce %016x", n.Name, m.Nonce)
	}
	return nil
}

// events keeps the table. memberlist's own list cannot be read without a race: it changes nodes in place.
type events struct{ g *Gossip }

func (e events) NotifyJoin(n *memberlist.Node)   { e.put(n) }
func (e events) NotifyUpdate(n *memberlist.Node) { e.put(n) }

func (e events) NotifyLeave(n *memberlist.Node) {
	e.g.mu.Lock()
	delete(e.g.table, n.Name)
	e.told()
	e.g.mu.Unlock()
}

func (e events) put(n *memberlist.Node) {
	m, err := DecodeMeta(n.Meta)
	if err != nil {
		return // alive has refused and memberlist has logged it
	}
	e.g.mu.Lock()
	e.g.table[n.Name] = Member{Meta: m, Addr: n.Address()}
	e.told()
	e.g.mu.Unlock()
}

// told counts and announces a change. The caller holds g.mu.
func (e events) told() {
	e.g.metrics.changes.Inc()
	e.g.metrics.members.Set(float64(len(e.g.table)))
	e.g.changed()
}
