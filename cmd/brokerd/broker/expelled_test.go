package broker

import (
	"testing"

	"github.com/runnel-io/runnel/placement"
)

func TestOnlyAStateThatKnewTheBrokerExpelsIt(t *testing.T) {
	s := placement.New()
	for name, c := range map[string]struct {
		cluster string
		next    int32
		known   bool
		want    bool
	}{
		"nothing was applied yet":     {"", 0, false, false},
		"a state from before it came": {"c", 4, false, false},
		"a member":                    {"c", 5, true, false},
		"removed":                     {"c", 5, false, true},
	} {
		s.ClusterID, s.NextBroker = c.cluster, c.next
		delete(s.Brokers, 4)
		if c.known {
			s.Brokers[4] = &placement.Broker{ID: 4}
		}
		if got := expelled(s, 4); got != c.want {
			t.Errorf("%s: expelled is %v", name, got)
		}
	}
	if expelled(&placement.State{ClusterID: "c", NextBroker: 9}, 0) {
		t.Error("a broker without an id was never a member")
	}
}
