package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Whoever stops to wait must not believe that they stopped the drain.
func TestCtrlCEndsTheWaitingAndNotTheDrain(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(5500*time.Millisecond, cancel)
			r := tryAt(ctx, f, "", terminal, "broker", "drain", "2", "--wait", "--give-up", "0s")
			var said []string // without what the bar drew
			for line := range strings.Lines(r.err) {
				said = append(said, strings.TrimSpace(line[strings.LastIndex(line[:len(line)-1], "\r")+1:]))
			}
			want := []string{"the drain goes on: brokerctl broker undrain 2 ends it", "brokerctl: interrupted"}
			if r.status != 1 || len(said) < 2 || !slices.Equal(said[len(said)-2:], want) {
				t.Errorf("status %d, %q", r.status, said)
			}
			if !f.draining[2] || f.open != 0 {
				t.Errorf("draining %v, %d clients open", f.draining, f.open)
			}
		})
	}
}

func TestABrokenAnswerEndsTheWaitingAndNotTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.downAt = 3
		r := try(t.Context(), f, "", "broker", "drain", "3", "--wait")
		if r.status != 1 || !strings.Contains(r.err, "no broker answers; the drain goes on until brokerctl broker undrain 3 ends it") {
			t.Errorf("status %d, %s", r.status, r.err)
		}
	})
}

// All brokers are being drained, say: no replica is left, and nobody takes the vote in the controller group.
func TestAVoteThatNobodyTakesEndsTheWaitingAfterGiveUp(t *testing.T) {
	moves := &runnelv1.DrainDescription{Broker: 3, Draining: true, Replicas: 1, Moving: 1, ControllerVoter: true}
	blocked := &runnelv1.DrainDescription{Broker: 3, Draining: true, Replicas: 1, ControllerVoter: true, Blocked: []*runnelv1.BlockedChange{
		{Topic: "orders", Partition: 0, Broker: 3, Reason: "move 7 cannot go on"},
	}}
	votes := &runnelv1.DrainDescription{Broker: 3, Draining: true, ControllerVoter: true}
	for _, c := range []struct {
		steps []*runnelv1.DrainDescription
		after time.Duration
		want  string // of the last line
	}{
		{[]*runnelv1.DrainDescription{moves, moves, votes}, 62 * time.Second,
			"brokerctl: broker 3 cannot be emptied: it has no replicas any more, and for 1m0s no other broker has taken its vote in the controller group, " +
				"which takes one that is alive and not draining; the drain goes on until brokerctl broker undrain 3 ends it"},
		{[]*runnelv1.DrainDescription{moves, blocked}, 61 * time.Second,
			"brokerctl: broker 3 cannot be emptied, 1 replica of it blocked for 1m0s: orders/0: move 7 cannot go on; " +
				"the drain goes on until brokerctl broker undrain 3 ends it"},
		{[]*runnelv1.DrainDescription{votes, {Broker: 3, Draining: true}}, time.Second, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster()
			f.steps = c.steps
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			began := time.Now()
			r := try(ctx, f, "", "broker", "drain", "3", "--wait")
			lines := strings.Split(strings.TrimSpace(r.err), "\n")
			if took := time.Since(began); took != c.after || (r.status == 1) != (c.want != "") || c.want != "" && lines[len(lines)-1] != c.want {
				t.Errorf("status %d after %v: %s", r.status, took, r.err)
			}
		})
	}
}

func TestABarNeverGoesToItsEndWithSomethingLeft(t *testing.T) {
	p := &drainProgress{replicas: 10, bytes: 1000}
	for _, tc := range []struct {
		d    *runnelv1.DrainDescription
		want int64
	}{
		{&runnelv1.DrainDescription{Replicas: 10, Bytes: 1000}, 0},
		{&runnelv1.DrainDescription{Replicas: 5, Bytes: 500}, 500},
		{&runnelv1.DrainDescription{Replicas: 5, Bytes: 500, BytesMovingDone: 100}, 600},
		{&runnelv1.DrainDescription{Replicas: 5, Bytes: 500, BytesMovingDone: 9000}, 999}, // what moved grew meanwhile
		{&runnelv1.DrainDescription{Replicas: 1}, 999},                                    // an empty partition is left
		{&runnelv1.DrainDescription{ControllerVoter: true}, 999},
		{&runnelv1.DrainDescription{}, permille},
	} {
		if _, got := p.text(tc.d); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.d, got, tc.want)
		}
	}
}

func TestConsentNeedsAYes(t *testing.T) {
	for answer, want := range map[string]bool{"y": true, " YES \n": true, "": false, "n": false, "yep": false, "\n": false} {
		a := &app{in: strings.NewReader(answer), errOut: &strings.Builder{}, inTTY: true}
		if err := a.confirm(t.Context(), false, "all is lost"); (err == nil) != want {
			t.Errorf("%q: %v", answer, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hangs := &app{in: blocked{t.Context()}, errOut: &strings.Builder{}, inTTY: true}
	if err := hangs.confirm(ctx, false, "all is lost"); !errors.Is(err, context.Canceled) {
		t.Errorf("Ctrl-C at the question: %v", err)
	}
}

// blocked is a terminal at which nobody types.
type blocked struct{ ctx context.Context }

func (b blocked) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

func TestSizesAreShort(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1: "1 byte", 1023: "1,023 bytes", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB", 5<<30 + 5<<29: "7.5 GiB", 1 << 60: "1024.0 PiB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
