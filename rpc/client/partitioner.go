package client

import (
	"math/rand/v2"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// choose finds the queue of a record of size bytes: the partition it names, that of its key (as Kafka's clients do), or
// else the sticky one, which changes after switchBytes so that batches are full and partitions even (KIP-794).
func (t *topicQueues) choose(r *Record, size, switchBytes int) (*queue, *Error) {
	switch {
	case r.Partition >= 0:
		if int(r.Partition) >= len(t.parts) {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION,
				"topic %q has partitions 0 to %d, not %d", t.name, len(t.parts)-1, r.Partition)
		}
		return t.parts[r.Partition], nil
	case r.Key != nil:
		return t.parts[keyPartition(r.Key, len(t.parts))], nil
	}
	if t.sticky == nil || t.stickyBytes >= switchBytes {
		t.sticky, t.stickyBytes = t.pickSticky(), 0
	}
	t.stickyBytes += size
	return t.sticky, nil
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
