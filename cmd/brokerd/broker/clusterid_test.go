package broker

import (
	"testing"

	"github.com/runnel-io/runnel/gossip"
)

// A longer one might not fit into what the broker announces, and that would show only once it is a member.
func TestGossipKeepsRoomForTheClusterID(t *testing.T) {
	for _, n := range []uint64{0, 1, 1<<64 - 1} {
		if id := newClusterID(n, n); len(id) != gossip.ClusterIDBytes {
			t.Errorf("%s has %d bytes, gossip keeps room for %d", id, len(id), gossip.ClusterIDBytes)
		}
	}
}
