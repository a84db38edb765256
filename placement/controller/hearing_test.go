package controller

import (
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
)

// ears is a hearing whose time and whose brokers are the test's.
type ears struct {
	*hearing
	now     time.Time
	known   map[int32]*placement.Broker
	up      map[int32]bool
	changes uint64
}

func newEars(replaceAfter, mute time.Duration, brokers ...int32) *ears {
	e := &ears{
		hearing: newHearing(Config{ReplaceAfter: replaceAfter, MuteAfterReturn: mute}), now: time.Unix(1_000_000, 0),
		known: map[int32]*placement.Broker{}, up: map[int32]bool{},
	}
	for _, id := range brokers {
		e.known[id], e.up[id] = &placement.Broker{ID: id}, true
	}
	return e
}

// pass lets the time pass, looks, and tells whether anything changed that a plan depends on.
func (e *ears) pass(d time.Duration) bool {
	e.now = e.now.Add(d)
	n, _ := e.hearing.pass(e.now, e.known, func(b int32) bool { return e.up[b] })
	changed := n != e.changes
	e.changes = n
	return changed
}

func (e *ears) silent(broker int32) (d time.Duration) {
	e.each(func(id int32, b heard) {
		if id == broker {
			d = b.silent
		}
	})
	return d
}

// mutedFor passes, each tenth of a second, until a broker is no longer muted.
func (e *ears) mutedFor(broker int32) (d time.Duration) {
	const step = 100 * time.Millisecond
	for e.muted(broker) && d < time.Hour {
		e.pass(step)
		d += step
	}
	return d
}

func TestSilenceAddsUpAndEndsWithABeat(t *testing.T) {
	e := newEars(time.Minute, 10*time.Second, 1, 2)
	if !e.pass(0) || !e.muted(1) || !e.muted(2) {
		t.Error("brokers that are heard for the first time: no leaders yet, and a plan")
	}
	if e.pass(time.Second) {
		t.Error("nothing changed")
	}
	if !e.pass(time.Second) || e.muted(1) {
		t.Error("the muting ended, and a plan depends on it")
	}
	e.up[2] = false
	if !e.pass(time.Second) {
		t.Error("a broker fell silent, and a plan depends on it")
	}
	for range 59 {
		if e.pass(time.Second) || e.lost(2) {
			t.Errorf("broker 2 has been silent for %s only", e.silent(2))
		}
	}
	if !e.pass(time.Second) || !e.lost(2) {
		t.Errorf("broker 2 has been silent for %s, and nobody was told", e.silent(2))
	}
	e.up[2] = true
	if !e.pass(time.Second) || e.silent(2) != 0 || !e.muted(2) || e.lost(2) {
		t.Error("it is back: no longer silent, and muted for a while")
	}
	delete(e.known, 2)
	if !e.pass(time.Second) || e.alive(2) {
		t.Error("it was removed")
	}
}

// A member that was itself stopped for an hour, or whose clock jumped, has not listened for an hour.
func TestMemberThatSleptTakesNobodyForDead(t *testing.T) {
	e := newEars(time.Minute, time.Second, 1)
	e.up[1] = false
	e.pass(0)
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 100 * time.Hour} {
		e.pass(jump)
	}
	if d := e.silent(1); d > 3*maxSpan {
		t.Errorf("taken for silent for %s", d)
	}
	e.pass(-time.Hour)
	before := e.silent(1)
	e.pass(time.Second)
	if d := e.silent(1) - before; d != time.Second {
		t.Errorf("a second after the clock was set back counts as %s", d)
	}
}

// The loop and the look at the members pass side by side: no span counts twice.
func TestPassesThatOvertakeEachOtherCountNoSpanTwice(t *testing.T) {
	e := newEars(time.Minute, time.Second, 1)
	e.up[1] = false
	e.pass(0)
	for range 10 {
		e.pass(time.Second)
		e.pass(-time.Second)
	}
	e.pass(time.Second)
	if d := e.silent(1); d != time.Second {
		t.Errorf("silent for %s after a second", d)
	}
}

// A leader goes on counting where it was when it did not lead, but for the last seconds: one that was cut off from everybody, and was
// elected as soon as it was not, waits for the others before it takes them for dead. A recovery by hand is surer still.
func TestSilenceIsNotCountedAnewInANewSession(t *testing.T) {
	e := newEars(time.Minute, time.Second, 1, 2)
	e.pass(0)
	e.up[2] = false
	for range 31 {
		e.pass(time.Second)
	}
	e.began()
	if d := e.silent(2); d != 30*time.Second {
		t.Errorf("in a new session it has been silent for %s", d)
	}
	if d := e.silences()[2]; d != 0 {
		t.Errorf("in this session it has been silent for %s", d)
	}
	for range 100 {
		e.pass(time.Second)
	}
	e.began()
	if e.lost(2) {
		t.Error("the session began a moment ago")
	}
	for range int(sessionGrace / time.Second) {
		if e.lost(2) {
			t.Errorf("given up after %s of the session", e.silences()[2])
		}
		e.pass(time.Second)
	}
	if !e.lost(2) {
		t.Errorf("silent for %s", e.silent(2))
	}
}

// A restart shows twice, in the silence and in the boot nonce that the next poll brings. It counts once, and so does one that no silence
// showed.
func TestRestartMutesOnce(t *testing.T) {
	e := newEars(time.Minute, 10*time.Second, 1)
	e.pass(0)
	e.booted(1, 77)
	e.pass(5 * time.Second)
	if e.muted(1) {
		t.Fatal("muted for ever")
	}
	for range 6 {
		e.pass(5 * time.Second)
	}
	e.booted(1, 77)
	if e.muted(1) {
		t.Error("muted without a restart")
	}
	e.booted(1, 78)
	if d := e.mutedFor(1); d != firstMute {
		t.Errorf("restarted between two passes, and muted for %s", d)
	}
	e.pass(calmFor)
	for range 6 {
		e.pass(5 * time.Second)
	}
	e.up[1] = false
	e.pass(time.Second)
	e.up[1] = true
	e.pass(time.Second)
	e.pass(time.Second)
	e.booted(1, 79)
	if d := time.Second + e.mutedFor(1); d != firstMute {
		t.Errorf("muted for %s after a restart", d)
	}
}

// A broker that comes and goes gets no leaders for longer and longer.
func TestBrokerThatFlapsIsMutedForLonger(t *testing.T) {
	e := newEars(time.Minute, 10*time.Second, 1)
	e.up[1] = false
	e.pass(0)
	var got []time.Duration
	for _, there := range []time.Duration{0, 0, 0, 0, time.Minute} {
		for left := there; left > 0; left -= time.Second {
			e.pass(time.Second)
		}
		e.up[1] = false
		e.pass(time.Second)
		e.up[1] = true
		e.pass(time.Second)
		got = append(got, e.mutedFor(1))
	}
	want := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 2 * time.Second}
	if !slices.Equal(got, want) {
		t.Errorf("muted for %v, want %v", got, want)
	}
}
