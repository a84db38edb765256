package broker

import (
	"testing"

	"github.com/runnel-io/runnel/placement"
)

func TestOnlyAYoungClusterIsForming(t *testing.T) {
	cluster := func(joined, brokers, voters int, edit ...func(*placement.State)) *placement.State {
		s := placement.New()
		s.NextBroker = int32(joined) + 1
		for id := int32(1); int(id) <= brokers; id++ {
			s.Brokers[id] = &placement.Broker{ID: id, ControllerReplica: uint64(id)}
			s.Controller = append(s.Controller, placement.Replica{ID: uint64(id), Broker: id, Learner: int(id) > voters})
		}
		for _, f := range edit {
			f(s)
		}
		return s
	}
	for name, c := range map[string]struct {
		s       *placement.State
		seeds   int
		forming bool
	}{
		"not founded":              {placement.New(), 3, true},
		"nobody else yet":          {cluster(1, 1, 1), 3, true},
		"two of three":             {cluster(2, 2, 2), 3, true},
		"the third does not vote":  {cluster(3, 3, 2), 3, true},
		"formed":                   {cluster(3, 3, 3), 3, false},
		"a cluster of one":         {cluster(1, 1, 1), 0, false},
		"one that has grown":       {cluster(3, 3, 1), 0, true},
		"of many three are enough": {cluster(7, 7, 3), 3, false},
		"it has shrunk to one":     {cluster(5, 1, 1), 3, false},
		"two drain": {cluster(3, 3, 1, func(s *placement.State) {
			s.Brokers[2].Draining, s.Brokers[3].Draining = true, true
		}), 3, false},
		"a voter is being replaced": {cluster(3, 3, 3, func(s *placement.State) {
			s.Brokers[3].ControllerReplica = 9
			s.Controller = s.Controller[:2]
		}), 3, false},
	} {
		if why := forming(c.s, c.seeds); (why != "") != c.forming {
			t.Errorf("%s: %q", name, why)
		}
	}
}
