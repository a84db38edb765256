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
	p *sim.Process
	l *liveness
}

func newClocks(brokers ...int32) *clocks {
	w := sim.New(1)
	p := w.Process("broker")
	l := newLiveness(1, 1, 500*time.Millisecond, p.Env(), slog.New(slog.DiscardHandler), func() {})
	l.setBrokers(brokers)
	return &clocks{w, p, l}
}

// lacks is by how much appends are dated later than the broker's clock says.
func (h *clocks) lacks() time.Duration {
	return time.Duration(h.l.nowMS()-h.p.Env().Wall().UnixMilli()) * time.Millisecond
}

func (h *clocks) hear(skews map[int32]time.Duration) {
	for id, skew := range skews {
		h.l.heard(id, &Packet{Nonce: 5, Heartbeat: &Heartbeat{Ack: true, ClockMS: h.p.Env().Wall().Add(skew).UnixMilli()}})
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
	if h.l.clockOK() || h.lacks() != -time.Hour {
		t.Fatalf("an hour ahead of both: right %v, it lacks %s", h.l.clockOK(), h.lacks())
	}
	h.silence()
	if h.l.clockOK() || h.lacks() != -time.Hour {
		t.Errorf("with its link cut: right %v, it lacks %s", h.l.clockOK(), h.lacks())
	}
	h.hear(map[int32]time.Duration{2: time.Second, 3: 2 * time.Second})
	if !h.l.clockOK() || h.lacks() != 0 {
		t.Errorf("set right: right %v, it lacks %s", h.l.clockOK(), h.lacks())
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
		if got, want := h.lacks(), max(0, skew); h.l.clockOK() || got != want {
			t.Errorf("the peer's is off by %s: right %v, the own lacks %s, want %s", skew, h.l.clockOK(), got, want)
		}
	}
}

// A clock that is set right, or wrong, is compared with its peers' at the next heartbeat. What is written until then is dated as if it had not been set.
func TestRule15AClockThatIsSetCountsOnceItWasCompared(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		h := newClocks(1, 2, 3)
		h.hear(map[int32]time.Duration{2: 0, 3: 0})
		right := h.l.nowMS()
		dated := func(when string) {
			t.Helper()
			if got := h.l.nowMS(); got != right {
				t.Errorf("set by %s, %s: appends are dated %d ms off", jump, when, got-right)
			}
		}
		h.p.Jump(jump)
		dated("not compared yet")
		h.l.events(h.p.Env().Now())
		if h.l.clockOK() {
			t.Errorf("set by %s: what peers said before is forgotten", jump)
		}
		h.p.Jump(0) // and back, before anything was heard
		dated("set back")
		h.l.events(h.p.Env().Now())
		if !h.l.clockOK() {
			t.Error("a clock that was set right is doubted")
		}
		h.p.Jump(jump)
		h.hear(map[int32]time.Duration{2: -jump, 3: -jump})
		dated("compared")
		h.p.Jump(0)
		dated("set right, not compared yet")
	}
}

// The only broker of a cluster has no other clock than its own.
func TestRule15ALoneBrokerFollowsItsClock(t *testing.T) {
	h := newClocks(1)
	h.p.Jump(time.Hour)
	h.l.events(h.p.Env().Now())
	if !h.l.clockOK() || h.lacks() != 0 {
		t.Errorf("right %v, it lacks %s", h.l.clockOK(), h.lacks())
	}
}
