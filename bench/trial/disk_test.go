package trial

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/proc"
)

const ms = time.Millisecond

// TestAHungMachineIsNoticed has a commit of the third page hang for a second, and the fifth begin late.
func TestAHungMachineIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		late := time.Duration(0)
		d := &disk{now: func() time.Duration { return time.Since(start) + late }}
		d.commit = func(page int64) error {
			_ = proc.Wait(t.Context(), 10*ms)
			switch page {
			case 2:
				_ = proc.Wait(t.Context(), time.Second)
			case 4:
				late = 300 * ms
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := d.watch(ctx); err != nil {
			t.Error(err)
		}
		if want := []span{{120 * ms, 1130 * ms}, {1240 * ms, 1550 * ms}}; !slices.Equal(d.still, want) {
			t.Errorf("%v, not %v", d.still, want)
		}
	})
}

func TestADiskThatCannotBeWatchedIsAnError(t *testing.T) {
	broken := errors.New("no space")
	d := &disk{now: func() time.Duration { return 0 }, commit: func(int64) error { return broken }}
	if err := d.watch(t.Context()); !errors.Is(err, broken) {
		t.Errorf("answered %v", err)
	}
	if _, _, err := newDisk(t.TempDir()+"/none", d.now); err == nil {
		t.Error("a folder that is not there is watched")
	}
}

// TestAWaitIsLessWhatTheDiskHung has the record that waited longest be one that only the disk kept waiting.
func TestAWaitIsLessWhatTheDiskHung(t *testing.T) {
	v := Verdict{
		still: []span{{1000 * ms, 2500 * ms}, {4000 * ms, 4200 * ms}},
		appends: []check.Append{
			{Partition: 0, Invoke: 900 * ms, Return: 2600 * ms, Outcome: check.OK},
			{Partition: 1, Invoke: 2000 * ms, Return: 3300 * ms, Outcome: check.OK},
			{Partition: 2, Invoke: 3500 * ms, Return: 3900 * ms, Outcome: check.OK},
		},
	}
	hangs := Verdict{still: []span{{0, 20 * time.Second}}, appends: []check.Append{{Invoke: 0, Return: 20 * time.Second, Outcome: check.OK}}}
	if w := hangs.Longest(0, time.Minute, Any); w.Long != 17*time.Second {
		t.Errorf("a machine that hangs for ever excuses all: %+v", w)
	}
	if w := v.Longest(0, 5*time.Second, Any); w != (Wait{800 * ms, 500 * ms, 1, 2000 * ms}) {
		t.Errorf("%+v", w)
	}
}

// TestATopicIsLateWithoutWhatTheMachineHung has one take longer than it may, one no longer but for a hang, and one longer although there was one.
func TestATopicIsLateWithoutWhatTheMachineHung(t *testing.T) {
	v := Verdict{still: []span{{10_000 * ms, 12_000 * ms}}}
	late := v.late([]check.TopicOp{
		{Name: "quick", Invoke: 0, Return: 5000 * ms},
		{Name: "slow", Invoke: 0, Return: 5100 * ms},
		{Name: "hung", Invoke: 9000 * ms, Return: 15_900 * ms},
		{Name: "hung-and-slow", Invoke: 9000 * ms, Return: 16_100 * ms, Delete: true},
	})
	if len(late) != 2 || !strings.HasPrefix(late[0], "topic slow ") || !strings.HasPrefix(late[1], "topic hung-and-slow ") {
		t.Errorf("late are %q", late)
	}
}
