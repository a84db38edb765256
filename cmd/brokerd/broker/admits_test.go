package broker

import (
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/rpc/peer"
)

func TestRule27AnotherDataFolderUnderABrokersIDIsNotAdmitted(t *testing.T) {
	t.Parallel()
	s := placement.New()
	s.Brokers[2] = &placement.Broker{ID: 2, Incarnation: "right"}
	for id, want := range map[peer.Identity]bool{
		{BrokerID: 2, Incarnation: "right"}: true,
		{BrokerID: 2, Incarnation: "wrong"}: false,
		{BrokerID: 3, Incarnation: "new"}:   true, // the state here may be old
	} {
		if err := admits(s, id); (err == nil) != want {
			t.Errorf("%+v: %v", id, err)
		}
	}
}
