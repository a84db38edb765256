package admin

import (
	"context"
	"errors"
	"testing"

	"github.com/runnel-io/runnel/partition"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// problems are how many partitions a status calls leaderless and under-replicated.
func problems(t *testing.T, h *harness) (leaderless, under int) {
	t.Helper()
	r, err := h.s.ClusterStatus(t.Context(), &runnelv1.ClusterStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return len(r.GetLeaderless()), len(r.GetUnderReplicated())
}

// whole makes all partitions of the harness so, led by the brokers 1 and 2.
func whole(h *harness) {
	h.cluster.set(func() { h.cluster.leaders = map[uint64]int32{10: 1, 11: 2} })
	h.others[2]["t/1"] = partition.Status{Leader: true, Term: 4, InSync: []uint64{111, 112, 113}}
}

func TestAStatusWaitsForALeadershipThatHasJustMoved(t *testing.T) {
	for name, unsettle := range map[string]func(h *harness){
		"the others have not answered the new leader": func(h *harness) { h.others[2]["t/1"] = partition.Status{Leader: true, Term: 4, InSync: []uint64{112}} },
		"the new leader does not know yet":            func(h *harness) { delete(h.others[2], "t/1") },
		"nobody leads":                                func(h *harness) { delete(h.cluster.leaders, 11) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			whole(h)
			unsettle(h)
			pauses := 0
			h.clock.paused = func() {
				if pauses++; pauses == 3 {
					whole(h)
				}
			}
			if leaderless, under := problems(t, h); leaderless != 0 || under != 0 || pauses != 3 {
				t.Errorf("%d leaderless, %d under-replicated after %d pauses", leaderless, under, pauses)
			}
			unsettle(h) // and for good
			pauses = 10
			if leaderless, under := problems(t, h); leaderless+under != 1 {
				t.Errorf("%d leaderless, %d under-replicated, and one is", leaderless, under)
			}
			if pauses != 10+len(settling) {
				t.Errorf("%d pauses of %d", pauses-10, len(settling))
			}
		})
	}
}

func TestAStatusDoesNotWaitForWhatIsKnownToBeWrong(t *testing.T) {
	for name, wrong := range map[string]func(h *harness){
		"a broker is silent":         func(h *harness) { h.cluster.dead[3] = true },
		"a replica is in quarantine": func(h *harness) { h.others[3]["t/1"] = partition.Status{Quarantine: "disk"} },
		"a broker does not answer": func(h *harness) {
			answer := h.caller.f
			h.caller.f = func(ctx context.Context, broker int32, body []byte) ([]byte, error) {
				if broker == 2 {
					return nil, errors.New("no answer")
				}
				return answer(ctx, broker, body)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			whole(h)
			wrong(h)
			h.clock.paused = func() { t.Error("it waits") }
			if leaderless, under := problems(t, h); leaderless+under == 0 {
				t.Error("no problem is told")
			}
		})
	}
	h := newHarness(t)
	whole(h)
	h.clock.paused = func() { t.Error("it waits though all is well") }
	if leaderless, under := problems(t, h); leaderless+under != 0 {
		t.Errorf("%d leaderless, %d under-replicated", leaderless, under)
	}
}
