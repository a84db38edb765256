package agent

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// More replicas than may be installed at a time wait for their turn.
func TestInstallsAreBounded(t *testing.T) {
	c := newDeskCluster(t, 2)
	c.apply(placement.CreateTopic{Name: "t", Brokers: [][]int32{{1}, {1}, {1}, {1}, {1}}})
	c.eventually("leaders", func() (bool, string) { return c.led("t", 5) })
	release := make(chan struct{})
	var now, most atomic.Int32
	c.setGate(func(ctx context.Context, _, _ int32, method string) error {
		if method != "ship.manifest" {
			return nil
		}
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	})
	ps := c.state().Topics["t"]
	var ids []uint64
	for n := range ps.Partitions {
		r := c.apply(placement.ProposeMove{Topic: "t", Partition: int32(n), AddBrokers: []int32{2}, Removes: []uint64{ps.Partitions[n].Replicas[0].ID}, Kind: placement.KindManual})
		c.apply(placement.AdvanceMove{TopicID: ps.ID, Partition: int32(n), Move: r.Moves[0], From: placement.PhaseProposed, To: placement.PhaseInstalling})
		ids = append(ids, c.state().Topics["t"].Partitions[n].Move.Adds[0].ID)
	}
	states := func() map[ask.InstallState]int {
		got := map[ask.InstallState]int{}
		for _, i := range c.ask(c.node(2), ask.StatusRequest{Installs: ids}).Installs {
			got[i.State]++
		}
		return got
	}
	c.eventually("two are received", func() (bool, string) {
		got := states()
		return got[ask.InstallReceiving] == 2 && got[ask.InstallWaiting] == 3 && now.Load() == 2, fmt.Sprint(got)
	})
	close(release)
	c.eventually("all are installed", func() (bool, string) {
		got := states()
		return got[ask.InstallDone] == 5, fmt.Sprint(got)
	})
	if most.Load() != 2 {
		t.Fatalf("%d were received at a time", most.Load())
	}
}

// A step begins when raft has told what became of the one before, and is judged by the state as of then: a RemoveLearner that is answered leaves
// no AddLearner behind it.
func TestStepsOfAGroupAreTakenInTurn(t *testing.T) {
	c := newDeskCluster(t, 2)
	c.createOn(nil, 1)
	c.propose(placement.KindManual, []int32{2}, []int32{1})
	c.reach(placement.PhaseInstalling)
	c.eventually("the install is done", func() (bool, string) {
		i := c.install(2)
		return i.State == ask.InstallDone, fmt.Sprintf("%+v", i)
	})
	n, group := c.node(1), c.part().Group
	v, _ := n.agent.running.Load(group)
	turn := v.(*live).turn
	turn <- struct{}{} // one is under way
	if g := c.ask(n, ask.StatusRequest{Groups: []uint64{group}}).Groups[group]; !g.Changing {
		t.Fatalf("%+v does not tell", g)
	}
	add := ask.ChangeRequest{Revision: c.state().Revision, Group: group, Kind: ask.AddLearner, Replica: c.on(2), Broker: 2}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := n.agent.Serve(over, ask.MethodChange, ask.Encode(add)); !isReason(err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE) || !strings.Contains(err.Error(), "under way") {
		t.Fatalf("a step while another one is under way: %v", err)
	}
	answer := make(chan error, 1)
	go func() { // ends with the test: it gets its turn
		_, err := n.agent.Serve(context.Background(), ask.MethodChange, ask.Encode(add))
		answer <- err
	}()
	c.apply(placement.CancelMove{TopicID: c.state().Topics["t"].ID, Move: c.part().Move.ID})
	c.eventually("the leader's broker knows", func() (bool, string) {
		r := c.ask(n, ask.StatusRequest{})
		return r.Revision == c.state().Revision, fmt.Sprint(r.Revision)
	})
	<-turn
	if err := <-answer; !isReason(err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE) {
		t.Fatalf("a learner was added after its move was cancelled: %v", err)
	}
	c.finish()
	if g := c.ask(n, ask.StatusRequest{Groups: []uint64{group}}).Groups[group]; g.Changing || len(g.Learners) > 0 {
		t.Fatalf("%+v", g)
	}
}

// A step waits until the leader's broker knows where the new replicas are.
func TestChangeWaitsForItsRevision(t *testing.T) {
	c := newDeskCluster(t, 2)
	c.createOn(nil, 1)
	c.withhold(1, true)
	c.propose(placement.KindManual, []int32{2}, []int32{1})
	m := c.part().Move
	c.apply(placement.AdvanceMove{TopicID: c.state().Topics["t"].ID, Move: m.ID, From: placement.PhaseProposed, To: placement.PhaseInstalling})
	q := ask.Encode(ask.ChangeRequest{Revision: c.state().Revision, Group: c.part().Group, Kind: ask.AddLearner, Replica: m.Adds[0].ID, Broker: 2})
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.node(1).agent.Serve(over, ask.MethodChange, q); !isReason(err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE) || !strings.Contains(err.Error(), "taken up revision") {
		t.Fatalf("a step that its broker cannot know of: %v", err)
	}
	answer := make(chan error, 1)
	go func() { // ends with the test: the answer comes, or the step is given up
		_, err := c.node(1).agent.Serve(context.Background(), ask.MethodChange, q)
		answer <- err
	}()
	c.withhold(1, false)
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
}
