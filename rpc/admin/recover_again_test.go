package admin

import (
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// A replica that was alone and kept may be stuck anew: that the same was recorded before is not the answer then.
func TestRule30TheControllerTellsWhetherAnOnlyReplicaIsStuckAnew(t *testing.T) {
	h := recoverable(t)
	st := h.cluster.st
	p := &st.Topics["t"].Partitions[0]
	p.Replicas = []placement.Replica{{ID: 102, Broker: 2}}
	st.Recoveries = []placement.Recovery{{TopicID: 5, Partition: 0, Kept: 102, Revision: 7}}
	req := &runnelv1.RecoverPartitionRequest{Topic: "t", AcceptDataLoss: true, Keep: 2}
	if r, err := h.s.RecoverPartition(t.Context(), req); err != nil || !r.GetRecovered() {
		t.Errorf("%v %v", r, err)
	}
	if r, asked := h.ctrl.last.(controller.RecoverPartition); !asked || r.Ask || r.Keep != 2 || len(r.Lost) != 0 {
		t.Errorf("asked for %+v", h.ctrl.last)
	}
	// It grows again: what is asked for can only be what was done.
	h.ctrl.last = nil
	p.Move = &placement.Move{Phase: placement.PhaseInstalling, Adds: []placement.Replica{{ID: 106, Broker: 1, Learner: true}}}
	if r, err := h.s.RecoverPartition(t.Context(), req); err != nil || !r.GetRecovered() || h.ctrl.last != nil {
		t.Errorf("%v %v, asked for %+v", r, err, h.ctrl.last)
	}
	// Another replica was alone then.
	p.Replicas[0].ID = 107
	if r, err := h.s.RecoverPartition(t.Context(), req); err == nil {
		t.Errorf("%v", r)
	}
}
