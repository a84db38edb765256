package sim

import (
	"slices"
	"testing"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env/sim"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestRetentionIsCheckedOnlyWhereItRan(t *testing.T) {
	c := &Cluster{w: sim.New(1), facts: map[string]int{}}
	c.clients.slots = []*slot{{}}
	x := &reader{c: c}
	got := func(start int64, err error) {
		x.got(partition.FetchRequest{}, partition.FetchResult{LogStart: start}, err)
	}
	got(0, nil)
	got(0, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "another leads"))
	if n := len(c.clients.history.Starts); n != 0 {
		t.Errorf("%d log starts were noted, and none was above 0", n)
	}
	got(7, nil)
	h := c.clients.history
	h.Final = map[int32]check.Log{0: {Start: 6, HighWatermark: 6}}
	h.Keep = map[int32]check.Keep{0: {}} // that the partition starts above 0 is no fact of its own
	found, facts := check.Count(h)
	taken := slices.ContainsFunc(found, func(v check.Violation) bool { return v.Invariant == "I20" })
	if facts["I20"] != 1 || !taken {
		t.Errorf("a log start that was taken back: %d facts, violations %v", facts["I20"], found)
	}
}
