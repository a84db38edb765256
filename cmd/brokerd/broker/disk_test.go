package broker

import (
	"errors"
	"log/slog"
	"testing"
)

func TestADiskCountsAsFullUntilThereIsMoreThanTheReserve(t *testing.T) {
	const reserve = 1600
	free, fails := int64(0), error(nil)
	size := func() (int64, error) { return 1 << 41, nil }
	d := &disk{free: func() (int64, error) { return free, fails }, total: size, log: slog.New(slog.DiscardHandler)}
	d.reserve.Store(reserve)
	for i, step := range []struct {
		free int64
		full bool
	}{
		{reserve, false}, {reserve - 1, true},
		{reserve, true}, {reserve + reserve/again - 1, true}, // leaders would go and come with each segment that is deleted
		{reserve + reserve/again, false}, {reserve, false}, {0, true}, {1 << 40, false},
	} {
		free = step.free
		d.look()
		if d.full() != step.full {
			t.Errorf("step %d, %d bytes free: full is %v", i, step.free, d.full())
		}
	}
	free = 0
	d.look()
	free, fails = 1<<40, errors.New("the disk is gone")
	d.look()
	if !d.full() {
		t.Error("what cannot be asked is taken for space")
	}
	none := &disk{free: func() (int64, error) { return 0, nil }, total: size, log: d.log}
	none.look()
	if none.full() {
		t.Error("a broker without a reserve refuses")
	}
}
