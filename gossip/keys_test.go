package gossip

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func (n *node) refusedFor(reason string) float64 {
	return testutil.ToFloat64(n.metrics.refused.WithLabelValues(reason))
}

// untilMetric waits for what rings nobody.
func untilMetric(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, timeout := time.NewTicker(5*time.Millisecond), time.NewTimer(patience)
	defer tick.Stop()
	defer timeout.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestOnlyBrokersWithAKeyOfTheClusterAreHeard(t *testing.T) {
	var seed string
	start := func(nonce uint64, keys ...[]byte) *node {
		return startNode(t, nonce, func(c *Config) {
			c.Keys = keys
			if seed != "" {
				c.Seeds = []string{seed}
			}
		})
	}
	a := start(1, key(1))
	seed = a.Self().Addr
	b := start(2, key(2), key(1)) // it encrypts with a key that the first does not have
	untilMetric(t, "what is encrypted with a foreign key is refused", func() bool { return a.refusedFor("key") > 0 })
	before := a.refusedFor("key")
	plain := start(3)
	untilMetric(t, "what is not encrypted is refused", func() bool { return a.refusedFor("key") > before })
	if err := a.SetKeys([][]byte{key(1), key(2)}); err != nil {
		t.Fatal(err)
	}
	a.until(t, "a and b see each other", a.sees(2))
	b.until(t, "b and a see each other", b.sees(2))
	if n := len(plain.Members()); n != 1 {
		t.Errorf("a broker without a key sees %d members", n)
	}
}

func TestPacketsOfStrangersAreRefusedAndCounted(t *testing.T) {
	n := startNode(t, 1, func(c *Config) { c.Keys = [][]byte{key(1)} })
	c, err := net.Dial("udp", n.Self().Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for reason, packet := range map[string][]byte{
		"label": append([]byte{244, 5}, "other"...),
		"key":   append(append([]byte{244, byte(len(label))}, label...), bytes.Repeat([]byte{1}, 100)...),
	} {
		if _, err := c.Write(packet); err != nil {
			t.Fatal(err)
		}
		untilMetric(t, reason, func() bool { return n.refusedFor(reason) == 1 })
	}
}

func TestAKeyIsReplacedWithoutAGap(t *testing.T) {
	a := startNode(t, 1, func(c *Config) { c.Keys = [][]byte{key(1)} })
	b := startNode(t, 2, func(c *Config) { c.Keys, c.Seeds = [][]byte{key(1)}, []string{a.Self().Addr} })
	a.until(t, "both are there", a.sees(2))
	for _, step := range [][][]byte{{key(1), key(2)}, {key(2), key(1)}, {key(2)}} {
		for i, n := range []*node{a, b} {
			if err := n.SetKeys(step); err != nil {
				t.Fatal(err)
			}
			m := n.Self().Meta // something that has to arrive
			m.Rack += "x"
			if err := n.SetMeta(m); err != nil {
				t.Fatal(err)
			}
			other := []*node{b, a}[i]
			other.until(t, "news arrives", func() bool {
				return slices.ContainsFunc(other.Members(), func(o Member) bool { return o.Nonce == m.Nonce && o.Rack == m.Rack })
			})
		}
	}
	for _, n := range []*node{a, b} {
		if r := n.refusedFor("key"); r != 0 {
			t.Errorf("%v packets were refused on the way", r)
		}
	}
	late := startNode(t, 3, func(c *Config) { c.Keys, c.Seeds = [][]byte{key(1)}, []string{a.Self().Addr} })
	untilMetric(t, "the former key is refused", func() bool { return a.refusedFor("key") > 0 })
	if n := len(late.Members()); n != 1 {
		t.Errorf("with the former key one sees %d members", n)
	}
}

func TestKeysChangeWhileTheyAreRead(t *testing.T) {
	k, err := newKeys([][]byte{key(1)})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() { // ends by stop
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, one := range k.ring.GetKeys() {
					if err := memberlist.ValidateKey(one); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 300 {
		for _, want := range [][][]byte{
			{key(1), key(2), key(3)}, {key(3)}, {key(2), key(3), key(1)}, {key(2), key(1)}, {key(4)}, {key(5), key(4)}, {key(1), key(4)}, {key(1)},
		} {
			if err := k.set(want); err != nil {
				t.Fatal(err)
			}
			got := slices.Clone(k.ring.GetKeys())
			slices.SortFunc(got[1:], bytes.Compare)
			rest := slices.Clone(want)
			slices.SortFunc(rest[1:], bytes.Compare)
			if !slices.EqualFunc(got, rest, bytes.Equal) {
				t.Fatalf("wanted %v, got %v", want, got)
			}
		}
	}
	close(stop)
	readers.Wait()
}

func TestBadKeysAreRefused(t *testing.T) {
	n := startNode(t, 1, nil)
	if err := n.SetKeys([][]byte{key(1)}); err == nil || !strings.Contains(err.Error(), "gossip.key.file") {
		t.Errorf("gossip that runs in plain text: %v", err)
	}
	k, err := newKeys([][]byte{key(1)})
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][][]byte{nil, {key(1)[:15]}, {key(2), {}}} {
		if err := k.set(keys); err == nil {
			t.Errorf("%d keys were taken", len(keys))
		}
	}
	if got := k.ring.GetKeys(); len(got) != 1 || !bytes.Equal(got[0], key(1)) {
		t.Errorf("refused keys changed the ring: %d", len(got))
	}
}
