package partition

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
)

func segment(base, next, appendMS, bytes int64, sealed bool) raftlog.SegmentInfo {
	return raftlog.SegmentInfo{Base: base, Next: next, LastAppendMS: appendMS, Bytes: bytes, Sealed: sealed}
}

func TestRetentionTarget(t *testing.T) {
	day := (24 * time.Hour).Milliseconds()
	now := 100 * day
	segs := []raftlog.SegmentInfo{
		segment(0, 10, now-9*day, 100, true), segment(10, 20, now-8*day, 100, true), segment(20, 20, 0, 5, true),
		segment(20, 30, now-2*day, 100, true), segment(30, 40, now-day, 100, false),
	}
	for name, c := range map[string]struct {
		ms, bytes, start, want int64
		segs                   []raftlog.SegmentInfo
	}{
		"keep for ever":           {-1, -1, 0, 0, segs},
		"a week":                  {7 * day, -1, 0, 20, segs},
		"exactly as old":          {8 * day, -1, 0, 10, segs},
		"never the open segment":  {0, 0, 0, 30, segs},
		"bytes":                   {-1, 300, 0, 10, segs},
		"bytes to spare":          {-1, 306, 0, 0, segs},
		"trimmed files count not": {-1, 205, 20, 20, segs},
		"trimmed files and more":  {-1, 100, 20, 30, segs},
		"no segments":             {0, 0, 7, 7, nil},
	} {
		got := retentionTarget(c.segs, Settings{RetentionMS: c.ms, RetentionBytes: c.bytes}, now, c.start)
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// tickUntil ticks each second, with the clock, until something is proposed or n ticks have passed.
func (b *bench) tickUntil(n int) (proposed bool) {
	for range n {
		b.advance(time.Second)
		b.p.Tick(b.w.Env().Now())
		if b.propose() > 0 {
			return true
		}
	}
	return false
}

func retentionBench(t *testing.T) *bench {
	b := newBench(t, func(c *Config) { c.Settings.RetentionMS = 1000 })
	b.lead(5)
	b.write(1, 0, 10)
	b.write(1, 10, 10)
	old := b.w.Env().Now().UnixMilli()
	b.segs = []raftlog.SegmentInfo{segment(0, 10, old, 100, true), segment(10, 20, old, 100, false)}
	return b
}

// Rule 15: retention is a leader's decision; it takes effect when the command is applied, on every replica.
func TestRule15RetentionIsReplicated(t *testing.T) {
	b := retentionBench(t)
	if !b.tickUntil(5) {
		t.Fatal("nothing was decided")
	}
	if b.p.StartOffset() != 0 || len(b.trims) != 0 {
		t.Fatal("trimmed before commit")
	}
	if b.tickUntil(3) {
		t.Fatal("decided again while the first is in flight")
	}
	b.commit()
	if b.p.StartOffset() != 10 || len(b.trims) != 1 || b.trims[0] != 10 {
		t.Fatalf("log start %d, the log was told %v", b.p.StartOffset(), b.trims)
	}
	follower := newBench(t)
	follower.log = b.log
	follower.commit()
	if follower.p.StartOffset() != 10 || follower.p.HighWatermark() != 20 {
		t.Fatalf("a follower is at %d, %d", follower.p.StartOffset(), follower.p.HighWatermark())
	}
	if follower.tickUntil(5) {
		t.Fatal("a follower decided")
	}
}

func TestRule15NothingIsTrimmedByADoubtfulClock(t *testing.T) {
	b := retentionBench(t)
	b.session.ClockOK = false
	if b.tickUntil(5) {
		t.Fatal("decided with a clock that its peers do not share")
	}
	b.session.ClockOK = true
	b.p.Tick(b.w.Env().Now().Add(48 * time.Hour)) // the clock jumps ahead, and back
	if b.propose() > 0 || b.tickUntil(steadyTicks/2) {
		t.Fatal("decided after the clock jumped")
	}
	if !b.tickUntil(steadyTicks) {
		t.Fatal("never decides again")
	}
}

// What peers say of the clock is known a heartbeat later than the clock jumps, and a first tick has no other to be compared with.
func TestRule15AFirstTickDecidesNothing(t *testing.T) {
	b := retentionBench(t)
	b.p.Tick(b.w.Env().Now().Add(48 * time.Hour))
	if b.propose() > 0 {
		t.Fatal("decided by a clock that may just have jumped")
	}
	b = retentionBench(t)
	if !b.tickUntil(2) {
		t.Fatal("a clock that goes on as it should is not believed")
	}
}

func TestRule15TrimIsDecidedAgainAfterADrop(t *testing.T) {
	b := retentionBench(t)
	b.drop = true
	b.tickUntil(2)
	b.drop = false
	if !b.tickUntil(2) {
		t.Fatal("the decision was lost")
	}
	b.lose(nil)
	b.log = b.log[:b.applied]
	b.lead(6)
	if !b.tickUntil(2) {
		t.Fatal("a new session thinks the old decision is in flight")
	}
}

// Rule 15: expiry goes by the append time in the log.
// What is written meanwhile gets its peers' time: it is as old as it is.
func TestRule15RecordsWrittenByADoubtfulClockAreNoOlderThanTheyAre(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(1, 0, 1)
	b.advance(8 * 24 * time.Hour)
	for _, skew := range []time.Duration{0, -2 * time.Hour, time.Hour, -3 * time.Hour} {
		b.session.ClockOK, b.lacks = false, skew
		b.write(1, int32(len(b.log))-1, 1)
		_, got, _, err := record.OpenEnvelope(b.log[len(b.log)-1].data)
		if err != nil {
			t.Fatal(err)
		}
		want := b.w.Env().Now().UnixMilli() + max(0, skew.Milliseconds()) // they never fall
		if skew == -3*time.Hour {
			want = b.w.Env().Now().UnixMilli() + time.Hour.Milliseconds()
		}
		if got != want {
			t.Errorf("with a clock that lacks %s: off by %d ms", skew, got-want)
		}
	}
}

func TestRule15IdleProducersAreForgottenByCommand(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Settings.ProducerExpiryMS = minProducerExpiry.Milliseconds() })
	b.lead(5)
	b.write(1, 0, 1)
	b.advance(10 * time.Minute)
	b.write(2, 0, 1)
	b.p.ticks.last = b.w.Env().Now()
	if b.tickUntil(120) {
		t.Fatal("a producer idle for 12 minutes is forgotten")
	}
	b.p.SetSettings(Settings{RetentionMS: -1, RetentionBytes: -1, MaxMessageBytes: 1 << 20, ProducerExpiryMS: 1})
	if b.tickUntil(60) {
		t.Fatal("the floor of 15 minutes does not hold")
	}
	if !b.tickUntil(300) {
		t.Fatal("nothing was decided")
	}
	b.commit()
	if b.p.folded.producers[1] != nil || b.p.folded.producers[2] == nil {
		t.Fatalf("producers %v", b.p.folded.producers)
	}
	unknown := b.produce(1, 0, 1, 1)
	b.propose()
	b.answerReads(nil)
	unknown.refused(reasonUnknownProd, definite)
	b.write(2, 1, 1).acked(2, false)
}

func TestTrimWhileFoldingIsToldTheLogOnceThereIsOne(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(1, 0, 10)
	b.append(5, command{kind: commandTrim, arg: 4}.entry(0))
	b.commit()

	p := b.partition()
	if err := p.Restore(raftlog.Checkpoint{Index: 1, Term: 1}); err != nil {
		t.Fatal(err)
	}
	next := int64(0)
	for i, e := range b.log {
		m := record.Fold(uint64(i+2), e.term, false, e.data, next)
		next = m.Next
		var payload []byte
		if m.Kind == record.KindCommand {
			payload = e.data[record.EnvelopeLen:]
		}
		p.Apply(m, payload)
	}
	p.Applied(uint64(len(b.log) + 1))
	b.trims = nil
	p.attach(b, b)
	p.Applied(uint64(len(b.log) + 1))
	if p.StartOffset() != 4 || len(b.trims) != 1 || b.trims[0] != 4 {
		t.Fatalf("log start %d, the log was told %v", p.StartOffset(), b.trims)
	}
}
