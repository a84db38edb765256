package sim

import (
	"slices"
	"testing"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition/env/sim"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestATopicThatWasRefusedForCertainMustNotBeThere(t *testing.T) {
	refused := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS, "there are five")
	busy := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "later")
	lost := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "no answer")
	for name, x := range map[string]struct {
		deletes bool
		err     *runnelv1.Error
		there   bool
		want    string
	}{
		"refused":                {false, refused, false, ""},
		"refused, and there":     {false, refused, true, "I22"},
		"not now, and there":     {false, busy, true, "I22"},
		"unsure, and there":      {false, lost, true, ""},
		"unsure, and not there":  {false, lost, false, ""},
		"made, and not there":    {false, nil, false, "I18"},
		"deleted, and there":     {true, nil, true, "I18"},
		"kept, and gone":         {true, busy, false, "I18"},
		"perhaps deleted":        {true, lost, true, ""},
		"perhaps deleted, gone":  {true, lost, false, ""},
		"kept as it was refused": {true, busy, true, ""},
	} {
		c := &Cluster{w: sim.New(1), facts: map[string]int{}}
		note := func(op check.TopicOp, err *runnelv1.Error) {
			op.Name = "small1"
			c.noteTopic(op, asError(err))
		}
		if x.deletes {
			note(check.TopicOp{}, nil)
		}
		note(check.TopicOp{Delete: x.deletes}, x.err)
		s := placement.New()
		if x.there {
			s.Topics["small1"] = &placement.Topic{Name: "small1"}
		}
		c.verifyTopics(s)
		found := check.Verify(c.clients.history)
		if x.want == "" && len(found) > 0 || x.want != "" && !slices.ContainsFunc(found, func(v check.Violation) bool { return v.Invariant == x.want }) {
			t.Errorf("%s: found %v, want %q", name, found, x.want)
		}
	}
}
