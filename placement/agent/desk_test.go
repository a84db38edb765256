package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// desk is the controller's part: it commits commands and hands the states out. A broker that is withheld gets none.
type desk struct {
	mu       sync.Mutex
	state    *placement.State
	withheld map[int32]bool
}

// newDeskCluster is a cluster without a controller: whatever the agents act on the test commits.
func newDeskCluster(t testing.TB, n int) *testCluster {
	c := emptyCluster(t)
	c.desk = &desk{state: placement.New(), withheld: map[int32]bool{}}
	for i := range n {
		c.joinDesk(i == 0)
	}
	c.await("brokers hear each other", func() (bool, string) {
		for _, n := range c.all() {
			for _, o := range c.all() {
				if !n.host.Alive(o.id) {
					return false, fmt.Sprintf("broker %d does not hear %d", n.id, o.id)
				}
			}
		}
		return true, ""
	})
	return c
}

func (c *testCluster) joinDesk(first bool) *testNode {
	c.t.Helper()
	n := &testNode{c: c, dir: filepath.Join(c.dir, fmt.Sprint(c.joined.Add(1)))}
	n.open()
	reg := placement.Registration{Incarnation: n.store.Identity().Incarnation, ClientAddr: "client", PeerAddr: "peer"}
	cmd := placement.Command(placement.RegisterBroker{Broker: reg})
	if first {
		cmd = placement.FoundCluster{ClusterID: "c1", Broker: reg}
	}
	n.id = c.apply(cmd).Broker
	if err := n.store.SetIdentity(raftlog.Identity{ClusterID: "c1", BrokerID: n.id}); err != nil {
		c.t.Fatal(err)
	}
	n.run(false, nil)
	return n
}

// runAtDesk is the end of run.
func (n *testNode) runAtDesk() {
	n.agent = New(Config{
		Env: n.c.env, BrokerID: n.id, Host: n.host, Store: n.store, Boot: n.c.nonce.Load(),
		Catchup: catchup.NewClient(catchup.ClientConfig{Env: n.c.env, Caller: caller{n}}),
		Forget: func(_ context.Context, ids []uint64) error {
			n.c.apply(placement.ForgetReplicas{Broker: n.id, Replicas: ids})
			return nil
		},
	})
	n.agent.installs.pause = 10 * time.Millisecond
	n.c.mu.Lock()
	n.c.nodes[n.id] = n
	n.c.mu.Unlock()
	n.agent.Start()
	n.host.Start()
	n.c.handOut()
}

func (c *testCluster) state() *placement.State {
	c.desk.mu.Lock()
	defer c.desk.mu.Unlock()
	return c.desk.state
}

// apply commits a command that must be accepted.
func (c *testCluster) apply(cmd placement.Command) placement.Result {
	c.t.Helper()
	c.desk.mu.Lock()
	s, r, err := placement.Apply(c.desk.state, cmd)
	c.desk.state = s
	c.desk.mu.Unlock()
	if err != nil {
		c.t.Errorf("%+v: %v", cmd, err)
	}
	c.handOut()
	return r
}

func (c *testCluster) handOut() {
	c.desk.mu.Lock()
	defer c.desk.mu.Unlock()
	for _, n := range c.all() {
		if !c.desk.withheld[n.id] {
			n.host.SetBrokers(c.desk.state.BrokerIDs())
			n.agent.Update(c.desk.state)
		}
	}
}

func (c *testCluster) withhold(broker int32, on bool) {
	c.desk.mu.Lock()
	c.desk.withheld[broker] = on
	c.desk.mu.Unlock()
	c.handOut()
}

func (c *testCluster) setGate(f func(ctx context.Context, from, to int32, method string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gate = f
}

// tick is the second that passes, on all brokers.
func (c *testCluster) tick() {
	for _, n := range c.all() {
		n.agent.Tick(c.env.Now())
	}
}

// eventually is await in which time passes.
func (c *testCluster) eventually(what string, cond func() (bool, string)) {
	c.t.Helper()
	c.await(what, func() (bool, string) {
		c.tick()
		return cond()
	})
}

// createOn makes topic t with one partition on the brokers and waits for its leader.
func (c *testCluster) createOn(config map[string]string, brokers ...int32) *placement.Partition {
	c.t.Helper()
	c.apply(placement.CreateTopic{Name: "t", Config: config, Brokers: [][]int32{brokers}})
	c.eventually("a leader", func() (bool, string) { return c.led("t", 1) })
	return c.part()
}

// part is partition t/0 in the newest state.
func (c *testCluster) part() *placement.Partition { return &c.state().Topics["t"].Partitions[0] }

// on is the replica of t/0 on a broker, of the partition or of its move.
func (c *testCluster) on(broker int32) uint64 {
	c.t.Helper()
	if r, ok := c.part().Joining(broker); ok {
		return r.ID
	}
	r, ok := c.part().On(broker)
	if !ok {
		c.t.Fatalf("broker %d has no replica", broker)
	}
	return r.ID
}

func (c *testCluster) ask(n *testNode, q ask.StatusRequest) ask.StatusResponse {
	c.t.Helper()
	b, err := n.agent.Serve(context.Background(), ask.MethodStatus, ask.Encode(q))
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := ask.Decode[ask.StatusResponse](b)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// leads finds the leader of t/0 in session.
func (c *testCluster) leads() (*testNode, ask.Group) {
	group := c.part().Group
	for _, n := range c.all() {
		if g, ok := c.ask(n, ask.StatusRequest{Groups: []uint64{group}}).Groups[group]; ok {
			return n, g
		}
	}
	return nil, ask.Group{}
}

// change asks the leader of t/0 for a step, as the controller does. An error is why it has to be asked again.
func (c *testCluster) change(q ask.ChangeRequest) error {
	lead, _ := c.leads()
	if lead == nil {
		return errors.New("no leader")
	}
	q.Revision, q.Group = c.state().Revision, c.part().Group
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := lead.agent.Serve(ctx, ask.MethodChange, ask.Encode(q))
	return err
}

// propose begins a move of t/0.
func (c *testCluster) propose(kind placement.Kind, adds []int32, removes []int32) *placement.Move {
	c.t.Helper()
	m := placement.ProposeMove{Topic: "t", AddBrokers: adds, Kind: kind}
	for _, b := range removes {
		r, ok := c.part().On(b)
		if !ok {
			c.t.Fatalf("broker %d has no replica to remove", b)
		}
		m.Removes = append(m.Removes, r.ID)
	}
	c.apply(m)
	if c.part().Move == nil {
		c.t.Fatal("no move")
	}
	return c.part().Move
}

// step is what the controller's leader does next for the move of t/0; done when there is none any more. It is asked again and again.
func (c *testCluster) step() (done bool, why string) {
	m := c.part().Move
	if m == nil {
		return true, ""
	}
	if err := c.act(m); err != nil {
		return false, fmt.Sprintf("%s (cancelled %v): %v", m.Phase, m.Cancelled, err)
	}
	id := c.state().Topics["t"].ID
	switch {
	case m.Cancelled:
		c.apply(placement.EndCancelled{TopicID: id, Move: m.ID})
	case m.Next() == "":
		c.apply(placement.FinishMove{TopicID: id, Move: m.ID})
	default:
		c.apply(placement.AdvanceMove{TopicID: id, Move: m.ID, From: m.Phase, To: m.Next()})
	}
	return c.part().Move == nil, fmt.Sprintf("after %s", m.Phase)
}

// act does what a phase asks for; nil once it has taken effect.
func (c *testCluster) act(m *placement.Move) error {
	if m.Cancelled {
		for _, r := range m.Adds {
			if err := c.change(ask.ChangeRequest{Kind: ask.RemoveLearner, Replica: r.ID}); err != nil {
				return err
			}
		}
		return nil
	}
	switch m.Phase {
	case placement.PhaseInstalling:
		for _, r := range m.Adds {
			n := c.node(r.Broker)
			if n == nil {
				return errors.New("the target is down")
			}
			if i := c.ask(n, ask.StatusRequest{Installs: []uint64{r.ID}}).Installs[r.ID]; i.State != ask.InstallDone {
				return fmt.Errorf("install %+v", i)
			}
			if err := c.change(ask.ChangeRequest{Kind: ask.AddLearner, Replica: r.ID, Broker: r.Broker}); err != nil {
				return err
			}
		}
	case placement.PhaseLearner:
		_, g := c.leads()
		for _, r := range m.Adds {
			if p := g.Peers[r.ID]; !p.CaughtUp {
				return fmt.Errorf("learner %d is %+v in %+v", r.ID, p, g)
			}
		}
	case placement.PhaseJoint:
		if err := c.change(ask.ChangeRequest{Kind: ask.ChangeVoters, Promote: idsOf(m.Adds), Remove: m.Removes}); err != nil {
			return err
		}
		if err := c.change(ask.ChangeRequest{Kind: ask.LeaveJoint}); err != nil {
			return err
		}
		if lead, g := c.leads(); lead == nil || g.Changing || len(g.Outgoing) > 0 {
			return fmt.Errorf("it is not settled: %+v", g)
		}
	}
	return nil
}

// reach drives the move of t/0 until it is in a phase.
func (c *testCluster) reach(p placement.Phase) {
	c.t.Helper()
	c.eventually("the move is "+string(p), func() (bool, string) {
		if m := c.part().Move; m == nil || m.Phase == p {
			return m != nil, "it is over"
		}
		_, why := c.step()
		return false, why
	})
}

// finish drives the move of t/0 to its end, and waits until the data of those that left is gone.
func (c *testCluster) finish() {
	c.t.Helper()
	c.eventually("the move is over", c.step)
	c.eventually("tombstones answered", func() (bool, string) {
		left := len(c.state().Tombstones)
		return left == 0, fmt.Sprintf("%d left", left)
	})
}

// holds tells which replicas a broker has on its disk.
func (n *testNode) holds() (out []uint64) {
	for _, r := range n.store.Replicas() {
		out = append(out, r.Replica)
	}
	slices.Sort(out)
	return out
}

// restart stops a broker and starts it again.
func (n *testNode) restart() {
	n.stop()
	n.open()
	n.run(false, nil)
}

func isReason(err error, r runnelv1.ErrorReason) bool {
	return err != nil && runnelv1.AsError(err).GetReason() == r
}
