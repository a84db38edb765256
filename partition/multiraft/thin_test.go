package multiraft

import (
	"fmt"
	"testing"
	"time"
)

func TestThreeHostsElectProposeAndCommit(t *testing.T) {
	c := newCluster(t, 1, 3)
	c.addGroup(1, 3)
	c.startAll()
	c.awaitLeader(1)
	t.Logf("leader after %s", c.w.Now())
	for i := range 20 {
		c.put(1, fmt.Sprintf("v%d", i))
	}
	t.Logf("20 acks after %s", c.w.Now())
	c.settled(1)
	if len(c.acked[1]) != 20 {
		t.Fatalf("%d acks, want 20", len(c.acked[1]))
	}
	c.w.Run(c.w.Now() + 10*time.Second)
	if n := len(c.leaders); n != 1 {
		t.Fatalf("%d leader sessions in a quiet cluster, want 1: %v", n, c.leaders)
	}
}
