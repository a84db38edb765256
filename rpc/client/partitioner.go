package client

import (
	"math/rand/v2"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// stickyFor is how long records without a key go to one partition at most.
const stickyFor = 50 * time.Millisecond

// choose finds the queue of a record of size bytes: the partition it names, that of its key (as Kafka's clients do), or
// else the sticky one, which changes after a batch's bytes so that batches are full and partitions even (KIP-794), and after
// stickyFor, so that partitions are even within a second also where a batch's bytes take long to come.
func (t *topicQueues) choose(r *Record, size int, now time.Time) (*queue, *Error) {
	switch {
	case r.Partition >= 0:
		if int(r.Partition) >= len(t.parts) {
			return nil, t.unknownPartition(r.Partition, len(t.parts))
		}
		return t.parts[r.Partition], nil
	case r.Key != nil:
		return t.parts[keyPartition(r.Key, len(t.parts))], nil
	}
	if t.sticky == nil || t.stickyBytes >= t.batchBytes || now.Sub(t.stickySince) >= stickyFor {
		t.sticky, t.stickyBytes, t.stickySince = t.pickSticky(), 0, now
	}
	t.stickyBytes += size
	return t.sticky, nil
}

func (t *topicQueues) unknownPartition(n int32, parts int) *Error {
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION, "topic %q has partitions 0 to %d, not %d", t.name, parts-1, n)
}

// pickSticky draws two partitions and takes the one with less to send, so that a slow or leaderless one gets less
// (KIP-794 weighs all of them; two draws do nearly as well without a table).
func (t *topicQueues) pickSticky() *queue {
	a := t.parts[rand.IntN(len(t.parts))]
	b := t.parts[rand.IntN(len(t.parts))]
	if b.load() < a.load() {
		return b
	}
	return a
}

func (q *queue) load() int {
	n := len(q.taken) + len(q.full)
	if q.leader.id == noLeader {
		n += 1000
	}
	return n
}
