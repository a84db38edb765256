package gossip

import (
	"cmp"
	"slices"
)

// Member is a broker seen by gossip, oneself included.
type Member struct {
	Meta
	Addr string // the advertised gossip address, ip:port
}

// identity is what a broker keeps over its boots. Two clusters that see each other both have a broker 1.
type identity struct {
	cluster string
	broker  int32
}

// newestBoots drops each member that a newer boot replaces: one with the same identity, or at the same address. The
// old name of a restarted broker lingers until memberlist suspects it. The result is sorted by broker id, then nonce.
func newestBoots(all []Member) []Member {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Member) int { // newest first
		return cmp.Or(cmp.Compare(b.BootMS, a.BootMS), cmp.Compare(b.Nonce, a.Nonce))
	})
	ids := make(map[identity]bool, len(all))
	addrs := make(map[string]bool, len(all))
	kept := all[:0]
	for _, m := range all {
		if m.BrokerID != 0 && ids[identity{m.ClusterID, m.BrokerID}] || addrs[m.Addr] {
			continue
		}
		// A replaced boot does not replace others: only kept ones are recorded.
		addrs[m.Addr] = true
		if m.BrokerID != 0 {
			ids[identity{m.ClusterID, m.BrokerID}] = true
		}
		kept = append(kept, m)
	}
	slices.SortFunc(kept, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.BrokerID, b.BrokerID), cmp.Compare(a.Nonce, b.Nonce))
	})
	return kept
}
