package multiraft

import (
	"fmt"
	"testing"
	"time"
)

// What the leader sent while the replica was closed is lost, and its next heartbeat may be a slow tick away: with the other follower gone,
// nothing could be acknowledged until then.
func TestReplicaThatIsOpenedCallsItsLeader(t *testing.T) {
	for wait := time.Duration(0); wait < 500*time.Millisecond; wait += 50 * time.Millisecond {
		t.Run(fmt.Sprint(wait), func(t *testing.T) {
			c := loadedCluster(t, 71)
			lead := c.leader(1)
			n := c.otherThan(lead.id)
			if err := n.host.StopGroup(1); err != nil {
				t.Fatal(err)
			}
			c.put(1, "missed")
			c.w.Run(c.w.Now() + wait) // to different moments of the leader's ticks
			g, err := n.tryStart(1)
			if err != nil {
				t.Fatal(err)
			}
			at := c.w.Now()
			c.until("it has what it missed", 50*time.Millisecond, func() bool { return g.Status().Applied == lead.groups[1].Status().Applied })
			t.Logf("caught up after %s", c.w.Now()-at)
			c.settled(1)
		})
	}
}
