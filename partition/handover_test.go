package partition

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// A producer that is told that the leadership has gone may send again before the worker that tells it has ended its run. Nobody would look
// at the batch for a second.
func TestBatchSentAtTheEndOfASessionIsAnsweredAtOnce(t *testing.T) {
	c := newCluster(t, 9, 3, DefaultSettings())
	c.produce(newClient(1), 3)
	old := c.awaitLeader()
	var to uint64
	for _, n := range c.nodes {
		if n != old {
			to = n.p.cfg.Replica
		}
	}
	produce := func(done func(ProduceResult)) {
		buf, h := batchOf(t, c.w.Env(), -1, 0, 0, 1)
		old.p.Produce(buf, h, done)
	}
	first, second := &answer{t: t}, &answer{t: t}
	old.p.attached.Load().group.(*multiraft.Group).TransferLeader(to)
	produce(func(r ProduceResult) {
		first.set(r)
		produce(second.set)
	})
	c.until("the end of the session", time.Second, func() bool { return first.done })
	first.refused(reasonNotLeader, retriableKind)
	second.refused(reasonNotLeader, retriableKind)
}
