package multiraft

import (
	"log/slog"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/env/sim"
)

// clocks is a broker that hears others whose clocks differ from its own by so much.
type clocks struct {
	w *sim.World
	l *liveness
}

func newClocks(brokers ...int32) *clocks {
	w := sim.New(1)
	l := newLiveness(1, 1, 500*time.Millisecond, w.Env(), slog.New(slog.DiscardHandler), func() {})
	l.setBrokers(brokers)
	return &clocks{w, l}
}

func (h *clocks) hear(skews map[int32]time.Duration) {
	for id, skew := range skews {
		h.l.heard(id, &Packet{Nonce: 5, Heartbeat: &Heartbeat{Ack: true, ClockMS: h.w.Env().Now().Add(skew).UnixMilli()}})
	}
	h.l.events(h.w.Env().Now())
}

func (h *clocks) silence() {
	h.w.Run(h.w.Now() + time.Second)
	h.l.events(h.w.Env().Now())
}

func TestRule15AClockThatWasWrongStaysWrongWhileNobodyIsHeard(t *testing.T) {
	h := newClocks(1, 2, 3)
	h.hear(map[int32]time.Duration{2: -time.Hour, 3: -time.Hour})
	if h.l.clockOK() || h.l.clockSkewMS() != -time.Hour.Milliseconds() {
		t.Fatalf("an hour ahead of both: right %v, it lacks %d ms", h.l.clockOK(), h.l.clockSkewMS())
	}
	h.silence()
	if h.l.clockOK() || h.l.clockSkewMS() != -time.Hour.Milliseconds() {
		t.Errorf("with its link cut: right %v, it lacks %d ms", h.l.clockOK(), h.l.clockSkewMS())
	}
	h.hear(map[int32]time.Duration{2: time.Second, 3: 2 * time.Second})
	if !h.l.clockOK() || h.l.clockSkewMS() != 0 {
		t.Errorf("set right: right %v, it lacks %d ms", h.l.clockOK(), h.l.clockSkewMS())
	}
	h.silence()
	if !h.l.clockOK() {
		t.Error("a right clock is doubted since nobody is heard")
	}
}

func TestRule15AClockThatNobodyHasConfirmedIsDoubtful(t *testing.T) {
	h := newClocks(1)
	h.l.events(h.w.Env().Now())
	if !h.l.clockOK() {
		t.Error("the only broker of a cluster doubts its clock")
	}
	h.l.setBrokers([]int32{1, 2, 3})
	h.l.events(h.w.Env().Now())
	if h.l.clockOK() {
		t.Error("a clock that was never compared is held for right")
	}
	h.hear(map[int32]time.Duration{2: 0})
	if !h.l.clockOK() {
		t.Error("a clock that agrees with the one peer that is heard is doubted")
	}
}

// Of two clocks nobody knows which is right. By the later one records are kept for longer.
func TestRule15OfTwoClocksTheLaterOneCounts(t *testing.T) {
	for _, skew := range []time.Duration{time.Hour, -time.Hour} {
		h := newClocks(1, 2)
		h.hear(map[int32]time.Duration{2: skew})
		if got, want := h.l.clockSkewMS(), max(0, skew.Milliseconds()); h.l.clockOK() || got != want {
			t.Errorf("the peer's is off by %s: right %v, the own lacks %d ms, want %d", skew, h.l.clockOK(), got, want)
		}
	}
}
