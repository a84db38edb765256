package gossip

import (
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// accusation is memberlist's message that a member is suspected (3) or dead (5): a type, then a MessagePack map.
func accusation(kind, incarnation byte, member string) []byte {
	str := func(b []byte, s string) []byte { return append(append(b, 0xa0|byte(len(s))), s...) }
	b := []byte{kind, 0x83}
	b = append(str(b, "Incarnation"), incarnation)
	b = str(str(b, "Node"), member)
	return str(str(b, "From"), "somebody")
}

// eventually waits for what rings nobody.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	timeout, tick := time.NewTimer(patience), time.NewTicker(5*time.Millisecond)
	defer timeout.Stop()
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatal("waited in vain")
		}
	}
}

// memberlist tells of a refutation in its log alone, so this also holds a new release to its words.
func TestFalseSuspicionsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	n := startNode(t, 1, func(c *Config) { c.Registerer = reg })
	conn, err := net.Dial("udp", n.Self().Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	told := func() float64 { return testutil.ToFloat64(n.metrics.falseAlarms) }
	for i, kind := range []byte{3, 5} {
		packet, err := memberlist.AddLabelHeaderToPacket(accusation(kind, byte(50*(i+1)), nameOf(1)), label)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return told() == float64(i+1) })
	}
	if score := n.list.GetHealthScore(); score == 0 {
		t.Fatal("refuting cost no health: the score's metric is untested")
	}
	if n, err := testutil.GatherAndCount(reg, "runnel_gossip_health_score"); err != nil || n != 1 {
		t.Errorf("the score is shown %d times: %v", n, err)
	}
}
