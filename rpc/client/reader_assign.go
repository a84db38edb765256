package client

import (
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// pacing spaces out tries that fail in a row.
type pacing struct {
	failures int
	until    time.Time
}

func (b *pacing) failed(now time.Time, pause bool) {
	if pause {
		b.until = now.Add(min(pollMin<<min(b.failures, 4), pollMax))
	}
	b.failures++
}

// run is the goroutine that assigns partitions to streams. It alone opens streams, and it waits for a stream's end before
// it opens another for the same partitions, which keeps their order.
func (r *Reader) run() {
	r.c.refresh.add(r)
	if err := r.position(); err != nil {
		if r.ctx.Err() != nil {
			err = errClosedCall()
		}
		r.fail(err)
		close(r.positioned)
		return
	}
	close(r.positioned)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for r.ctx.Err() == nil {
		if v := r.c.meta.topic(r.topic); v.err != nil {
			r.deliver(r.ctx, fetched{err: v.err})
			break
		}
		wake := r.assign(time.Now())
		timer.Reset(wake)
		select {
		case <-r.ctx.Done():
		case <-r.poke:
		case <-timer.C:
		}
	}
	r.mu.Lock()
	var last []*fetchStream
	for _, st := range r.streams {
		last = append(last, st)
	}
	r.mu.Unlock()
	for _, st := range last {
		st.stop()
	}
}

// assign gives every partition without a stream to its leader's. It answers when to look again at the latest.
func (r *Reader) assign(now time.Time) time.Duration {
	v := r.c.meta.topic(r.topic)
	wake := time.Hour
	r.mu.Lock()
	var stale []*fetchStream
	wanted := make(map[int32]bool)
	for _, p := range r.parts {
		if p.stopped || int(p.num) >= len(v.leaders) || v.leaders[p.num].id == noLeader {
			continue
		}
		to := v.leaders[p.num].id
		switch {
		case p.stream != nil && (p.stream.broker != to || p.stream.addr != r.c.meta.address(to)):
			stale = append(stale, p.stream) // it may never say so: its broker may hang, or be gone from there without a reset
		case p.stream == nil && p.backoff.until.After(now):
			wake = min(wake, p.backoff.until.Sub(now))
		case p.stream == nil:
			wanted[to] = true
		}
	}
	for broker := range wanted {
		// A stream's partitions are fixed when it opens: one with more of them takes its place.
		if st := r.streams[broker]; st != nil {
			stale = append(stale, st)
		}
	}
	r.mu.Unlock()
	for _, st := range stale {
		st.stop()
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	groups := make(map[int32][]*readPart)
	leaders := make(map[int32]bool)
	for _, p := range r.parts {
		if int(p.num) >= len(v.leaders) || v.leaders[p.num].id == noLeader {
			continue
		}
		to := v.leaders[p.num].id
		leaders[to] = true
		if !p.stopped && p.stream == nil && !p.backoff.until.After(now) {
			groups[to] = append(groups[to], p)
		}
	}
	for broker, parts := range groups {
		if r.streams[broker] != nil {
			continue // not ours to open: it ended badly just now and will poke
		}
		r.openLocked(broker, parts, max(int64(r.cfg.bytes/max(len(leaders), 1)), minReaderBytes))
	}
	return wake
}

// metadataChanged has the assignment looked at again.
func (r *Reader) metadataChanged() { r.wake() }

func (r *Reader) wake() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// wantsLeader tells whether a partition waits for a leader, or for one that can be reached.
func (r *Reader) wantsLeader() bool {
	select {
	case <-r.positioned:
	default:
		return true
	}
	v := r.c.meta.topic(r.topic)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.parts {
		if !p.stopped && p.stream == nil && (p.backoff.failures > 0 || int(p.num) >= len(v.leaders) || v.leaders[p.num].id == noLeader) {
			return true
		}
	}
	return false
}

// partFailedLocked judges an error that a broker gave for one partition, and answers what the iteration is to be told.
func (r *Reader) partFailedLocked(st *fetchStream, p *readPart, res *runnelv1.FetchPartitionResult) (fetched, bool) {
	e := res.GetError()
	p.lastErr = e
	out := fetched{part: p, epoch: p.epoch}
	switch {
	case e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE:
		if !r.cfg.resetToStart {
			out.err, out.outside = e, true // the iteration asks where the log is, in its turn
			return out, true
		}
		// The iteration learns of it in its turn, behind what was delivered before.
		p.backoff.failed(time.Now(), p.backoff.failures > 0)
		out.reset, out.next = true, res.GetLogStartOffset()
		return out, true
	case e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC,
		e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION:
		p.backoff.failed(time.Now(), true) // metadata decides: the broker may have just started
	case e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE:
		out.err = e
		return out, true
	default:
		news := r.c.meta.hint(r.topic, p.num, st.broker, e)
		p.backoff.failed(time.Now(), !news || p.backoff.failures > 0)
	}
	r.c.refresh.trigger()
	return out, false
}
