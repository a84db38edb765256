package controller

import (
	"strings"
	"testing"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// newer is a command of a release to come, of the next level.
type newer struct{ placement.DeleteTopic }

func (newer) Level() int { return placement.Level + 1 }

// A command that a member's release does not read stays out of the log: that member's replica would stop at it.
func TestNothingIsProposedThatAMemberCannotRead(t *testing.T) {
	levels := map[int32]int{}
	g := newFakeGroup(t)
	g.configure = func(c *Config) {
		c.Level = func(broker int32) (int, bool) { l, ok := levels[broker]; return l, ok }
	}
	_, nodes := clusterOf(t, g, 3)
	lead := nodes[0].c
	propose := func() *runnelv1.Error {
		lead.mu.Lock()
		version := lead.pipeline.version
		lead.mu.Unlock()
		_, err := lead.propose(newer{}, version, lead.State())
		return err
	}
	for _, c := range []struct {
		name   string
		second int
		third  bool
		reason runnelv1.ErrorReason
		says   string
	}{
		{"a member that is not heard of", placement.Level + 1, false, runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE, "broker 3 is not heard of"},
		{"a member of the first release", 0, true, runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE, "upgrade broker 2 first"},
		{"a member of this release", placement.Level, true, runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE, "upgrade broker 2 first"},
	} {
		clear(levels)
		levels[2] = c.second
		if c.third {
			levels[3] = placement.Level + 1
		}
		if err := propose(); err.GetReason() != c.reason || !strings.Contains(err.GetMessage(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	levels[2], levels[3] = placement.Level+1, placement.Level+2
	if err := lead.readable(newer{}, lead.State()); err != nil {
		t.Errorf("all read it: %v", err)
	}
	clear(levels) // what all releases read needs nobody's word
	do(t, lead, CreateTopic{Name: "t", Partitions: 1, RF: 3})
}

// A release that does not read the log gets no id: it would stop at the first thing that it does not know.
func TestAReleaseThatCannotReadTheLogIsRefused(t *testing.T) {
	for _, c := range []struct {
		used, reads int
		ok          bool
	}{{1, 0, true}, {1, 1, true}, {2, 0, false}, {2, 1, false}, {2, 2, true}, {2, 3, true}} {
		err := reads(c.used, RegisterBroker{Broker: placement.Registration{Version: "v1"}, Level: c.reads})
		if (err == nil) != c.ok || err != nil && (err.GetReason() != runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE || !strings.Contains(err.GetMessage(), "start a newer release")) {
			t.Errorf("a release that reads %d, where %d is used: %v", c.reads, c.used, err)
		}
	}
}
