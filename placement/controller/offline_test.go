package controller

import (
	"testing"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/placement"
)

type deafGroup struct {
	group
	gone func(uint64) bool
}

func (g *deafGroup) SetGoneIf(gone func(uint64) bool) { g.gone = gone }

// The log of a replica that starts knows of a second recovery, and the checkpoint that it begins from only of the first.
func TestAStateOfLongAgoLetsNoReplicaBeHeardThatTheLogGaveUp(t *testing.T) {
	e, stop := env.NewReal(env.RealOptions{})
	t.Cleanup(stop)
	c := New(Config{Env: e, BrokerID: 1})
	t.Cleanup(c.Stop)
	after := func(below uint64) *placement.State {
		s := placement.New()
		s.ControllerRecoveries = []placement.ControllerRecovery{{Kept: below - 1, Below: below}}
		return s
	}
	g := &deafGroup{}
	hears := func(replica uint64, want bool) {
		t.Helper()
		if g.gone == nil || g.gone(replica) == want {
			t.Errorf("replica %d is heard: %v", replica, !want)
		}
	}
	second, _ := after(200).ControllerRecovered()
	c.Heed(second)
	for _, s := range []*placement.State{placement.New(), after(100), after(200)} {
		c.silence(g, s)
		hears(150, false)
		hears(199, true)
	}
	c.silence(g, after(300))
	hears(250, false)
	hears(199, false)
}
