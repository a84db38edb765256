package gossip

import (
	"strings"
	"testing"
)

const listHash = 77

// empty is a broker with a fresh disk at host n.
func empty(n int) Member {
	return Member{Addr: addr(n), Meta: Meta{Nonce: uint64(n), Empty: true, SeedsHash: listHash, BootMS: 1000}}
}

// of is a broker that belongs to a cluster.
func of(n int, cluster string) Member {
	m := empty(n)
	m.Empty, m.ClusterID, m.BrokerID = false, cluster, int32(n)
	return m
}

func addr(n int) string { return "10.0.0." + string(rune('0'+n)) + ":7946" }

func with(m Member, change func(*Member)) Member {
	change(&m)
	return m
}

// RULES 28, line by line.
func TestRule28Decide(t *testing.T) {
	seeds := []string{"b1:7946", "b2:7946", "b3:7946"}
	resolved := map[string]string{"b1:7946": addr(1), "b2:7946": "192.168.0.2:7946," + addr(2), "b3:7946": addr(3)}
	otherList := func(m *Member) { m.SeedsHash = 78 }
	for _, c := range []struct {
		name     string
		seeds    []string
		resolved map[string]string
		self     Member
		members  []Member
		want     Action
		cluster  string
		says     []string
		conflict bool
	}{
		{name: "no seeds: founds at once", self: empty(1), want: Found, says: []string{"no seeds"}},
		{name: "no seeds, but a disk with data: its own cluster", self: of(1, "A"), want: Join, cluster: "A"},
		{name: "data decides, whatever others say", seeds: seeds, resolved: resolved, self: of(1, "A"), members: []Member{empty(2), empty(3)}, want: Join, cluster: "A"},
		{name: "data, and foreigners: its own, loudly", seeds: seeds, resolved: resolved, self: of(1, "A"), members: []Member{of(2, "B")}, want: Join, cluster: "A",
			says: []string{"other clusters", "B", addr(2)}, conflict: true},
		{name: "an empty first seed beside one that knows a cluster joins", seeds: seeds, resolved: resolved, self: empty(1), members: []Member{empty(2), of(3, "A")}, want: Join, cluster: "A"},
		{name: "one that knows a cluster need not be a seed", seeds: seeds, resolved: resolved, self: empty(1), members: []Member{of(9, "A")}, want: Join, cluster: "A"},
		{name: "two clusters: neither", seeds: seeds, resolved: resolved, self: empty(1), members: []Member{of(2, "A"), of(3, "B")}, want: Wait,
			says: []string{"different clusters", "A", "B", addr(2), addr(3), "correct seeds"}, conflict: true},
		{name: "all seeds seen and empty: the first founds", seeds: seeds, resolved: resolved, self: empty(1), members: []Member{empty(2), empty(3)}, want: Found, says: []string{"3 seeds"}},
		{name: "members may include self", seeds: seeds, resolved: resolved, self: empty(1), members: []Member{empty(3), empty(1), empty(2)}, want: Found},
		{name: "the second waits for the first", seeds: seeds, resolved: resolved, self: empty(2), members: []Member{empty(1), empty(3)}, want: Wait, says: []string{"b1:7946"}},
		{name: "a broker that is no seed waits", seeds: seeds, resolved: resolved, self: empty(9), members: []Member{empty(1), empty(2), empty(3)}, want: Wait, says: []string{"b1:7946"}},
		{name: "a majority is not enough", seeds: seeds, resolved: resolved, self: empty(1), members: []Member{empty(2)}, want: Wait, says: []string{"b3:7946", addr(3)}},
		{name: "a seed that does not resolve", seeds: seeds, resolved: map[string]string{"b1:7946": addr(1)}, self: empty(1), members: []Member{empty(2), empty(3)}, want: Wait,
			says: []string{"b2:7946", "b3:7946", "not resolved yet"}},
		{name: "a seed with another list", seeds: seeds, resolved: resolved, self: empty(1), members: []Member{empty(2), with(empty(3), otherList)}, want: Wait, says: []string{addr(3), "another list of seeds"}},
		{name: "a broker with another list that is no seed might found too", seeds: seeds, resolved: resolved, self: empty(1), members: []Member{empty(2), empty(3), with(empty(9), otherList)}, want: Wait, says: []string{addr(9)}},
		{name: "another list is told even while seeds are missing", seeds: seeds, resolved: resolved, self: empty(1), members: []Member{with(empty(2), otherList)}, want: Wait, says: []string{addr(2)}},
		{name: "a seed whose disk holds data but no cluster", seeds: seeds, resolved: resolved, self: empty(1), members: []Member{empty(2), with(empty(3), func(m *Member) { m.Empty = false })}, want: Wait, says: []string{"b3:7946"}},
		{name: "data without a cluster never founds", seeds: seeds, resolved: resolved, self: with(empty(1), func(m *Member) { m.Empty = false }), members: []Member{empty(2), empty(3)}, want: Wait, says: []string{"only join"}},
		{name: "two seeds that are one broker", seeds: seeds, resolved: map[string]string{"b1:7946": addr(1), "b2:7946": addr(2), "b3:7946": addr(2)}, self: empty(1), members: []Member{empty(2), empty(3)}, want: Wait,
			says: []string{"b2:7946", "b3:7946", "same broker"}},
		{name: "the same seed twice is one", seeds: []string{"b1:7946", "b1:7946"}, resolved: resolved, self: empty(1), want: Found},
		{name: "an older boot at a seed's address does not count", seeds: seeds, resolved: resolved, self: empty(1),
			members: []Member{empty(2), empty(3), with(of(3, "A"), func(m *Member) { m.Nonce, m.BootMS = 99, 500 })}, want: Found},
		{name: "a newer boot at a seed's address does", seeds: seeds, resolved: resolved, self: empty(1),
			members: []Member{empty(2), empty(3), with(of(3, "A"), func(m *Member) { m.Nonce, m.BootMS = 99, 2000 })}, want: Join, cluster: "A"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(c.seeds, c.resolved, c.self, c.members)
			if d.Action != c.want || d.ClusterID != c.cluster || d.Conflict != c.conflict {
				t.Fatalf("%v %q conflict %v (%s), want %v %q conflict %v", d.Action, d.ClusterID, d.Conflict, d.Reason, c.want, c.cluster, c.conflict)
			}
			for _, s := range c.says {
				if !strings.Contains(d.Reason, s) {
					t.Errorf("the reason lacks %q: %s", s, d.Reason)
				}
			}
			if d.Reason == "" {
				t.Error("no reason")
			}
			for _, m := range d.Via {
				if m.ClusterID != d.ClusterID || m.Nonce == c.self.Nonce {
					t.Errorf("via %+v", m)
				}
			}
			if d.Action == Join && c.self.ClusterID == "" && len(d.Via) == 0 {
				t.Error("nobody to ask")
			}
		})
	}
}

// Whatever subset of the seeds each broker sees, at most one broker founds.
func TestRule28AtMostOneFounds(t *testing.T) {
	seeds := []string{"b1:7946", "b2:7946", "b3:7946"}
	resolved := map[string]string{"b1:7946": addr(1), "b2:7946": addr(2), "b3:7946": addr(3)}
	for views := range 1 << 12 { // for each of four brokers, which of the others it sees
		founders := 0
		for self := 1; self <= 4; self++ {
			var members []Member
			bits := views >> (3 * (self - 1)) & 7
			for other := 1; other <= 4; other++ {
				if other == self {
					continue
				}
				if bits&1 != 0 {
					members = append(members, empty(other))
				}
				bits >>= 1
			}
			if Decide(seeds, resolved, empty(self), members).Action == Found {
				founders++
			}
		}
		if founders > 1 {
			t.Fatalf("views %b: %d founders", views, founders)
		}
	}
}

func TestRule27NewestBootWins(t *testing.T) {
	old := with(of(1, "A"), func(m *Member) { m.Nonce, m.BootMS, m.Addr = 5, 100, "10.0.0.8:1" })
	got := newestBoots([]Member{old, of(1, "A"), of(2, "A"), empty(4), empty(5)})
	var nonces []uint64
	for _, m := range got {
		nonces = append(nonces, m.Nonce)
	}
	if len(got) != 4 || nonces[0] != 4 || nonces[1] != 5 || nonces[2] != 1 || nonces[3] != 2 {
		t.Fatalf("%v", nonces)
	}
}
