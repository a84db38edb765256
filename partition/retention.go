package partition

import (
	"time"

	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// wishes are decisions that Tick would like to have replicated; 0 = none. A turn proposes them if the clock is good.
type wishes struct {
	// trim is the log start wished for.
	trim int64
	// expire: producers idle since this time (ms) are to be forgotten.
	expire int64
}

// ticks is what Tick remembers of the clock.
type ticks struct {
	last time.Time
	// steady counts ticks since the clock last stepped.
	steady int
}

const (
	// maxTickStep is the longest plausible time between two ticks, which come each few seconds. A longer one is a stall or a
	// clock that was set: both make what the clock says of ages doubtful for a while (RULES 15).
	maxTickStep = time.Minute
	// steadyTicks is for how many ticks after a step nothing is decided: five minutes.
	steadyTicks = 60
	// expiryEvery is how many seconds there are between two looks at the producer table.
	expiryEvery = 60
)

// Tick is to be called each few seconds, by one goroutine at a time, with the clock's time. On a leader it decides on
// retention and producer expiry; the decisions are replicated as commands.
func (p *Partition) Tick(now time.Time) {
	p.WakeLate()
	t := &p.ticks
	now = now.Round(0) // without its monotonic part, in which a clock that was set does not show
	step := now.Sub(t.last)
	first := t.last.IsZero()
	t.last = now
	if !first && (step < -time.Second || step > maxTickStep) {
		t.steady = -steadyTicks
		p.metrics.clockHolds.Inc()
		p.log.Warn("the clock stepped: retention waits", "step", step, "ticks", steadyTicks)
	}
	t.steady++
	a := p.attached.Load()
	if a == nil || first || !p.leading.Load() || t.steady < 0 { // the first time stands alone: whether the clock jumped shows later
		return
	}
	s := *p.settings.Load()
	var w wishes
	start := p.logStart.Load()
	if to := retentionTarget(a.log.Segments(), s, now.UnixMilli(), start); to > start {
		w.trim = min(to, p.hw.Load())
	}
	// Spread over the minute by group, so that a broker's partitions do not all look at once.
	if (uint64(now.Unix())+p.cfg.Group)%expiryEvery == 0 && p.producerCount.Load() > 0 {
		w.expire = now.UnixMilli() - max(s.ProducerExpiryMS, minProducerExpiry.Milliseconds())
	}
	if w == (wishes{}) {
		return
	}
	p.mu.Lock()
	wanted := p.inSession
	if wanted {
		p.wishes = w
	}
	p.mu.Unlock()
	if wanted {
		p.wake()
	}
}

// refireTicks is for how many ticks after a session's end waiters are woken again.
const refireTicks = 2

// WakeLate is called each second: it wakes readers that saw the session just before it ended and began to wait just after it woke its waiters.
func (p *Partition) WakeLate() {
	if p.refire.Load() > 0 { // each second for each of thousands of partitions: nothing but this look
		p.refire.Add(-1)
		p.waiters.fireAll()
	}
}

// retentionTarget is the log start that retention asks for: the base of the first segment to keep. Only sealed segments
// go, the oldest first, and age is by the broker's append time, never by the records' timestamps (RULES 15).
func retentionTarget(segs []raftlog.SegmentInfo, s Settings, nowMS, logStart int64) int64 {
	var total int64
	for _, g := range segs {
		total += g.Bytes
	}
	target := logStart
	for _, g := range segs {
		if !g.Sealed {
			break
		}
		// A segment that is trimmed already, or has no records, only waits for its file to go.
		if g.Next > target {
			written := g.LastAppendMS
			if mutant.On(mutant.RetentionByClientClock) {
				written = g.MaxTimestamp
			}
			tooOld := s.RetentionMS >= 0 && nowMS-written > s.RetentionMS
			tooMuch := s.RetentionBytes >= 0 && total-g.Bytes >= s.RetentionBytes
			if !tooOld && !tooMuch {
				break
			}
			target = g.Next
		}
		total -= g.Bytes
	}
	return target
}

// decide turns wishes into commands of this turn, on the worker, where the clock's standing is known.
func (p *Partition) decide(w wishes, clockOK bool, now int64) {
	if w == (wishes{}) {
		return
	}
	if !clockOK {
		p.metrics.clockHolds.Inc()
		return // Tick wishes again
	}
	t := &p.turn
	if mutant.On(mutant.TrimNotReplicated) && w.trim > p.folded.logStart {
		p.folded.logStart, p.trimDue = min(w.trim, p.folded.next), true
		return
	}
	if to := min(w.trim, p.folded.next); to > p.folded.logStart && !p.sess.trimming {
		t.wishes.trim = to
		t.data = append(t.data, command{kind: commandTrim, arg: to}.entry(now))
		p.log.Info("retention moves the log start", "term", p.sess.term, "from", p.folded.logStart, "to", to)
	}
	if w.expire > 0 && !p.sess.expiring && p.folded.producers.anyIdle(w.expire) {
		t.wishes.expire = w.expire
		t.data = append(t.data, command{kind: commandExpire, arg: w.expire}.entry(now))
	}
}
