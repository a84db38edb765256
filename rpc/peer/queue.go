package peer

import (
	"context"
	"sync"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// maxQueuedPackets caps a queue in packets; those without entries weigh little in bytes.
const maxQueuedPackets = 1 << 16

// queue holds the packets of one lane to one broker. It is bounded in bytes and packets, counted until they are handed to
// the socket; when full, or while the broker is not reachable, put drops.
type queue struct {
	maxBytes int64
	// poke has one slot: something was put, or was refused because the queue is shut, or draining began.
	poke chan struct{}

	mu       sync.Mutex
	open     bool // whether put accepts: while connected or connecting
	draining bool // Stop was called: nothing new is accepted
	waiting  []queued
	bytes    int64 // of waiting and of what the writer took and has not finished
	packets  int
}

type queued struct {
	p *multiraft.Packet
	c cost
}

func newQueue(maxBytes int64) *queue {
	return &queue{maxBytes: maxBytes, poke: make(chan struct{}, 1)}
}

// put adds parts, which belong together: all or none. It never blocks.
func (q *queue) put(parts ...queued) bool {
	var bytes int64
	for _, p := range parts {
		bytes += int64(p.c.bytes)
	}
	q.mu.Lock()
	// A single packet above the bound may pass through an empty queue: it could never be sent otherwise.
	ok := q.open && !q.draining && q.packets+len(parts) <= maxQueuedPackets && (q.bytes == 0 || q.bytes+bytes <= q.maxBytes)
	if ok {
		q.waiting = append(q.waiting, parts...)
		q.bytes += bytes
		q.packets += len(parts)
	}
	q.mu.Unlock()
	q.wake()
	return ok
}

func (q *queue) wake() {
	select {
	case q.poke <- struct{}{}:
	default:
	}
}

// take waits for packets and takes all of them. It answers nil when draining and empty, or when ctx ends.
func (q *queue) take(ctx context.Context) []queued {
	for {
		q.mu.Lock()
		w, draining := q.waiting, q.draining
		q.waiting = nil
		q.mu.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		if len(w) > 0 || draining {
			return w
		}
		select {
		case <-q.poke:
		case <-ctx.Done():
			return nil
		}
	}
}

// done takes n packets of b bytes off the count: they went to the socket.
func (q *queue) done(n int, b int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.packets -= n
	q.bytes -= b
}

// setOpen lets put accept or refuse. Shutting the queue drops what waits and tells how many packets that was, those that
// the writer had taken and not finished included.
func (q *queue) setOpen(open bool) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = open
	if open {
		return 0
	}
	dropped = q.packets
	q.waiting, q.packets, q.bytes = nil, 0, 0
	return dropped
}

// drain refuses everything new; what waits is still sent.
func (q *queue) drain() {
	q.mu.Lock()
	q.draining = true
	q.mu.Unlock()
	q.wake()
}

func (q *queue) isDraining() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.draining
}
