package broker

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
)

// At a start one broker is heard of at once and hangs, another one later, and a seed never answers.
func TestAsksWhatWasGivenUpWithinOneBudget(t *testing.T) {
	for _, c := range []struct {
		name  string
		knows bool // the one that is heard of later
		seeds bool // all of them answer, with that one
		want  time.Duration
	}{
		{"nobody knows", false, false, givenUpWithin},
		{"nobody knows, and all are heard of", false, true, givenUpWithin},
		{"one knows", true, false, givenUpWithin / 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				change, all := make(chan struct{}), make(chan struct{})
				var mu sync.Mutex
				members := []int32{2}
				heard := func() []int32 {
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(members)
				}
				time.AfterFunc(givenUpWithin/2, func() {
					mu.Lock()
					members = append(members, 3)
					mu.Unlock()
					if c.seeds {
						close(all)
					}
					close(change)
				})
				never := make(chan struct{})
				changed := func() <-chan struct{} {
					if len(heard()) == 1 {
						return change
					}
					return never
				}
				began, asked := time.Now(), make(chan int32, 9)
				askEach(t.Context(), heard, changed, all, func(ctx context.Context, id int32) bool {
					asked <- id
					if id == 3 {
						return c.knows
					}
					<-ctx.Done()
					return false
				})
				if took := time.Since(began); took != c.want {
					t.Errorf("it takes %s, not %s", took, c.want)
				}
				if len(asked) != 2 {
					t.Errorf("%d are asked, not each of the two once", len(asked))
				}
			})
		})
	}
}

// A cluster has more brokers than its controller group has members. One without a replica of the group has nothing that a recovery could give up,
// but takes its next one from those who know of the recovery.
func TestABrokerWithoutAControllerHasNothingGivenUp(t *testing.T) {
	for _, c := range []struct {
		name     string
		replicas [][2]uint64
		givenUp  bool
	}{
		{"of a lost member", [][2]uint64{{controllerGroup, 3}}, true},
		{"of none", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := folder(t, 6, c.replicas...)
			e, stop := env.NewReal(env.RealOptions{})
			t.Cleanup(stop)
			core := &core{look: make(chan struct{}, 1), ctl: controller.New(controller.Config{Env: e, BrokerID: 6, Alive: func(int32) bool { return true }, Log: slog.New(slog.DiscardHandler)})}
			t.Cleanup(core.ctl.Stop)
			body, err := json.Marshal(placement.ControllerRecovery{Kept: 1, Broker: 1, Below: 1 << 32})
			if err != nil {
				t.Fatal(err)
			}
			out, err := b.serveRecovered(core, 2, body)
			if err != nil {
				t.Fatal(err)
			}
			if a, err := readGivenUp(out); err != nil || a.GivenUp != c.givenUp {
				t.Errorf("it answers %s, %v", out, err)
			}
			held, _ := b.heldController()
			if by := b.given.of(held); by != 2 || len(core.look) > 0 != c.givenUp {
				t.Errorf("broker %d told it; it looks after its replica: %v", by, len(core.look) > 0)
			}
		})
	}
}
