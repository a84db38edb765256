package controller

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func refused(t *testing.T, n *fakeNode, r Request, reason runnelv1.ErrorReason) {
	t.Helper()
	_, err := n.c.Do(t.Context(), r)
	wantReason(t, err, reason, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)
}

const (
	invalidArgument  = runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
	unknownTopic     = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC
	unknownPartition = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION
)

func TestEveryRequestTravels(t *testing.T) {
	for _, r := range []Request{
		FoundCluster{ClusterID: "c"}, RegisterBroker{Broker: registration(1)}, CreateTopic{Name: "t", RF: 2}, DeleteTopic{Name: "t", ID: 3},
		AlterTopicConfig{Name: "t", Set: map[string]string{"a": "b"}, Unset: []string{"c"}}, AllocateProducers{Broker: 1}, ForgetReplicas{Broker: 2, Replicas: []uint64{7}}, LookUpTopic{Name: "t"},
		MovePartition{Topic: "t", ID: 1, Partition: 2, Brokers: []int32{3, 1}, Reason: "why"}, CancelMove{Topic: "t", Partition: 2, Move: 8},
		TransferLeadership{Topic: "t", Partition: 1, To: 3}, SetDraining{Broker: 2, Draining: true}, RemoveBroker{Broker: 2},
		AlterSettings{Broker: 2, Set: map[string]string{"a": "b"}, Unset: []string{"c"}, By: "d"}, AddPartitions{Topic: "t", Partitions: 9, By: "e"}, SetReplicationFactor{Topic: "t", RF: 5}, RecoverPartition{Topic: "t", Keep: 2, Lost: []uint64{4}, Note: "n"}, Overview{},
	} {
		b, err := encodeRequest(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRequest(b)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("sent %+v, got %+v, %v", r, got, err)
		}
	}
	if n := len(requestKinds); n != 18 {
		t.Errorf("%d kinds of requests, and 18 are tried here", n)
	}
	if _, err := encodeRequest(ownCommand{placement.SetDraining{Broker: 1}}); err == nil {
		t.Error("a broker's own command travels: anyone could write anything")
	}
	names := map[string]bool{}
	for _, k := range requestKinds {
		if names[k.name] {
			t.Errorf("two requests travel as %q", k.name)
		}
		names[k.name] = true
	}
}

// All of it is asked of a broker that does not lead.
func TestPartitionIsMovedByRequest(t *testing.T) {
	_, nodes, a := driven(t, 4, nil)
	n := nodes[3]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
	a.set(func() { a.lag[4+1+3] = ask.Peer{Active: true} })
	p := partitionOf(n, "t", 0)
	from := brokersOf(p)
	free := int32(10) - from[0] - from[1] - from[2]
	to := []int32{free, from[2], from[1]}

	r := do(t, n.c, MovePartition{Topic: "t", Partition: 0, Brokers: to})
	if r.Move == nil || r.Move.Kind != placement.KindManual || len(r.Move.Adds) != 1 || r.Move.Adds[0].Broker != free || !slices.Equal(r.Move.Removes, []uint64{p.Replicas[0].ID}) {
		t.Fatalf("answered the move %+v", r.Move)
	}
	again := do(t, n.c, MovePartition{Topic: "t", Partition: 0, Brokers: to})
	if again.Move != nil && again.Move.ID != r.Move.ID {
		t.Errorf("asked again it began move %d beside move %d", again.Move.ID, r.Move.ID)
	}
	a.set(func() { clear(a.lag) })
	nodes[0].g.await(func() bool { return isOn(partitionOf(n, "t", 0).Replicas, to) })
	if r = do(t, n.c, MovePartition{Topic: "t", Partition: 0, Brokers: to}); r.Move != nil {
		t.Errorf("it is there already, and move %+v was begun", r.Move)
	}
	// Another order moves no data.
	slices.Reverse(to)
	if r = do(t, n.c, MovePartition{Topic: "t", Partition: 0, Brokers: to}); r.Move != nil || !isOn(partitionOf(n, "t", 0).Replicas, to) {
		t.Errorf("another order: move %+v, replicas %+v", r.Move, partitionOf(n, "t", 0).Replicas)
	}
}

func TestOperationsThatMakeNoSenseAreRefused(t *testing.T) {
	_, nodes, a := driven(t, 4, nil)
	n := nodes[1]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 2, RF: 3})
	a.set(func() { a.silent[4] = true })
	for _, r := range []Request{
		MovePartition{Topic: "x"}, CancelMove{Topic: "x"}, TransferLeadership{Topic: "x"}, AddPartitions{Topic: "x"}, SetReplicationFactor{Topic: "x"}, RecoverPartition{Topic: "x"},
		MovePartition{Topic: "t", ID: 99, Brokers: []int32{1}}, CancelMove{Topic: "t", ID: 99},
	} {
		refused(t, n, r, unknownTopic)
	}
	for _, r := range []Request{
		MovePartition{Topic: "t", Partition: 2, Brokers: []int32{1, 2, 3}}, CancelMove{Topic: "t", Partition: -1}, TransferLeadership{Topic: "t", Partition: 2}, RecoverPartition{Topic: "t", Partition: 7},
	} {
		refused(t, n, r, unknownPartition)
	}
	for _, r := range []Request{
		MovePartition{Topic: "t"},
		MovePartition{Topic: "t", Brokers: []int32{1, 1, 2}},
		MovePartition{Topic: "t", Brokers: []int32{1, 2}}, // away from the replication factor
		TransferLeadership{Topic: "t", To: 9},
		AddPartitions{Topic: "t", Partitions: 1},
		SetReplicationFactor{Topic: "t", RF: 0},
		RecoverPartition{Topic: "t"},
		RecoverPartition{Topic: "t", Keep: 1, Anew: true, Lost: []uint64{1}},
		RecoverPartition{Topic: "t", Keep: 1},
	} {
		before := nodes[0].c.State().Revision
		refused(t, n, r, invalidArgument)
		if nodes[0].c.State().Revision != before {
			t.Errorf("%+v was refused and changed the state", r)
		}
	}
}

func TestRefusalsOfOperationsTellTheirReason(t *testing.T) {
	_, nodes, _ := driven(t, 4, nil)
	n := nodes[1]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
	for _, c := range []struct {
		r      Request
		reason runnelv1.ErrorReason
	}{
		{MovePartition{Topic: "t", Brokers: []int32{1, 2, 9}}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER},
		{SetDraining{Broker: 9, Draining: true}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER},
		{RemoveBroker{Broker: 9}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER},
		{RemoveBroker{Broker: 1}, runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE},
		{CancelMove{Topic: "t"}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE},
		{RecoverPartition{Topic: "t", Keep: 1, Lost: []uint64{1}}, runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE},
	} {
		refused(t, n, c.r, c.reason)
	}
}

func TestTopicGrowsByRequest(t *testing.T) {
	_, nodes, _ := driven(t, 3, nil)
	n := nodes[2]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 2, RF: 2})
	r := do(t, n.c, AddPartitions{Topic: "t", Partitions: 5})
	if len(r.Topic.Partitions) != 5 || len(r.Reasons) == 0 {
		t.Errorf("answered %+v because %q", r.Topic, r.Reasons)
	}
	if r = do(t, n.c, AddPartitions{Topic: "t", Partitions: 5}); r.Topic == nil || len(r.Topic.Partitions) != 5 {
		t.Errorf("asked again: %+v", r.Topic)
	}
	r = do(t, n.c, SetReplicationFactor{Topic: "t", RF: 3})
	if r.Topic.ReplicationFactor() != 3 || len(r.Reasons) == 0 {
		t.Errorf("answered %+v because %q", r.Topic, r.Reasons)
	}
	_, err := n.c.Do(t.Context(), SetReplicationFactor{Topic: "t", RF: 4})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)
}

func TestLeadershipGoesWhereItIsSent(t *testing.T) {
	_, nodes, a := driven(t, 3, nil)
	n := nodes[2]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
	p := partitionOf(n, "t", 0)
	to := p.Replicas[2].Broker
	do(t, n.c, TransferLeadership{Topic: "t", To: to})
	if lead, _, _ := a.leaderOf(p.Group); lead != to {
		t.Errorf("broker %d leads, and it was sent to %d", lead, to)
	}
	do(t, n.c, TransferLeadership{Topic: "t", To: to})
	a.set(func() { a.silent[p.Replicas[1].Broker] = true })
	ctx, cancel := context.WithCancel(t.Context())
	a.set(func() {
		a.refuse = func(int32, ask.ChangeRequest) error {
			cancel()
			return notLeading(1)
		}
	})
	if _, err := n.c.Do(ctx, TransferLeadership{Topic: "t", To: p.Replicas[0].Broker}); err == nil {
		t.Error("nobody handed over, and it was answered as done")
	}
}

func TestLostMajorityIsGivenUpByRequest(t *testing.T) {
	_, nodes, a := driven(t, 5, nil)
	n := nodes[0]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
	p := partitionOf(n, "t", 0)
	i := max(0, slices.IndexFunc(p.Replicas, func(r placement.Replica) bool { return r.Broker == 1 })) // the leader hears itself
	keep, lost := p.Replicas[i], slices.Delete(slices.Clone(p.Replicas), i, i+1)
	recovery := RecoverPartition{Topic: "t", Keep: keep.Broker, Lost: []uint64{lost[0].ID, lost[1].ID}, Note: "disks burnt"}
	a.set(func() { a.silent[lost[0].Broker] = true })
	silentFor(n, time.Hour, lost[0].Broker)
	refused(t, n, recovery, runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE)
	a.set(func() { a.silent[lost[1].Broker] = true })
	silentFor(n, recoverAfter/2, lost[1].Broker)
	refused(t, n, recovery, runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE) // half a minute has not passed
	other := recovery
	other.Keep = lost[0].Broker
	answers := func(r Request, reason runnelv1.ErrorReason) (resp Response) {
		t.Helper()
		eventually(t, func() bool { // a look that had begun may find that they are heard
			silentFor(n, recoverAfter, lost[0].Broker)
			silentFor(n, recoverAfter, lost[1].Broker)
			var err error
			resp, err = n.c.Do(t.Context(), r)
			return err == nil && reason == 0 || err != nil && runnelv1.AsError(err).GetReason() == reason
		})
		return resp
	}
	answers(other, invalidArgument) // it is silent
	other = recovery
	other.Lost = []uint64{lost[0].ID}
	answers(other, runnelv1.ErrorReason_ERROR_REASON_OUTDATED) // nobody was shown that the other one is lost too
	r := answers(recovery, 0)
	if got := partitionOf(n, "t", 0).Replicas; len(got) != 1 || got[0].ID != keep.ID || r.Topic == nil {
		t.Errorf("replicas %+v, answered %+v", got, r.Topic)
	}
	do(t, n.c, recovery) // its own work
	if got := n.c.State().Recoveries; len(got) != 1 || got[0].Note != "disks burnt" {
		t.Errorf("recoveries %+v", got)
	}
}

// A majority of the brokers is alive, and the group is stuck all the same: once it is known to have had no leader for a minute, it may be
// recovered, and if the replica that is kept is the only one that the state knows.
func TestRule30StuckGroupIsRecoveredByRequest(t *testing.T) {
	for _, rf := range []int{1, 3} {
		t.Run(fmt.Sprintf("of %d replicas", rf), func(t *testing.T) {
			_, nodes, a := driven(t, 4, nil)
			n := nodes[0]
			do(t, n.c, CreateTopic{Name: "t", Partitions: 1, RF: rf})
			p := partitionOf(n, "t", 0)
			keep := p.Replicas[0]
			a.set(func() { a.stuck[p.Group] = true })
			req := RecoverPartition{Topic: "t", Keep: keep.Broker, Ask: true}
			refused(t, n, req, runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE)
			x := &n.c.driving().vigils
			x.mu.Lock()
			x.by[p.Group].since = x.by[p.Group].since.Add(-stuckFor) // a minute goes by
			x.mu.Unlock()
			before := n.c.State().Revision
			if r := do(t, n.c, req); len(r.Reasons) == 0 || n.c.State().Revision != before {
				t.Fatalf("only asked, it answered %q and went from revision %d to %d", r.Reasons, before, n.c.State().Revision)
			}
			req.Ask = false
			for _, r := range p.Replicas[1:] {
				req.Lost = append(req.Lost, r.ID)
			}
			do(t, n.c, req)
			got := partitionOf(n, "t", 0)
			if len(got.Replicas) != 1 || got.Replicas[0].ID != keep.ID || got.Recovered == 0 || len(n.c.State().Recoveries) != 1 {
				t.Errorf("it is %+v now, recoveries %+v", got, n.c.State().Recoveries)
			}
		})
	}
}

// A vigil counts from when a leader was seen last, or a broker failed to tell.
func TestVigilBeginsAnewWhenThereMayBeALeader(t *testing.T) {
	s := population(t, 3, 1)
	l := newLoop(t, s, nil)
	p := &s.Topics["t0"].Partitions[0]
	var groups map[uint64]ask.Group
	var fails error
	l.answer = func(broker int32, method string, body []byte) ([]byte, error) {
		if broker != 2 || method != ask.MethodStatus {
			return l.quiet(broker, method, body)
		}
		return ask.Encode(ask.StatusResponse{Boot: 1, Revision: l.state.Revision, Groups: groups}), fails
	}
	idle := func() time.Duration {
		d, _ := l.d.vigils.keep(loopClock{l}.Now(), s.Topics["t0"], 0)
		return d
	}
	idle()
	l.run(90 * time.Second)
	if d := idle(); d < 89*time.Second {
		t.Errorf("nobody has led for 90 s, and it counts %s", d)
	}
	groups = map[uint64]ask.Group{p.Group: {Replica: p.Replicas[1].ID}}
	l.run(5 * time.Second)
	groups = nil
	l.run(10 * time.Second)
	if d := idle(); d < 8*time.Second || d > 13*time.Second {
		t.Errorf("somebody led 10 s ago, and it counts %s", d)
	}
	fails = notLeading(2)
	l.run(5 * time.Second)
	fails = nil
	l.run(10 * time.Second)
	if d := idle(); d < 8*time.Second || d > 13*time.Second {
		t.Errorf("a broker did not tell 10 s ago, and it counts %s", d)
	}
	l.polls = 0
	l.run(time.Minute)
	if l.polls > 3*61 {
		t.Errorf("%d polls in a minute of a vigil", l.polls)
	}
	l.run(vigilFor)
	if idle(); len(l.d.vigils.by) != 1 || idle() > time.Second {
		t.Errorf("nobody asked for long, and it counts %s", idle())
	}
}

// A partition that began anew keeps nothing by which a repeated request would know its work, but for what was lost.
func TestPartitionBeginsAnewOnce(t *testing.T) {
	_, nodes, a := driven(t, 5, nil)
	n := nodes[0]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 1, RF: 1})
	p := partitionOf(n, "t", 0)
	at := p.Replicas[0]
	a.set(func() { a.bad[at.Broker] = map[uint64]string{at.ID: "the test says so"} })
	eventually(t, func() bool { return n.c.quarantined()[at.ID] != "" })
	recovery := RecoverPartition{Topic: "t", Anew: true, Lost: []uint64{at.ID}}
	do(t, n.c, recovery)
	do(t, n.c, recovery)
	if got := n.c.State().Recoveries; len(got) != 1 {
		t.Errorf("recoveries %+v", got)
	}
}

// silentFor has a leader think that a broker has been silent for so long at least.
func silentFor(n *fakeNode, d time.Duration, broker int32) {
	h := n.c.hearing
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session = max(h.session, d)
	h.brokers[broker] = &heard{silent: d}
}

func TestBrokerIsRemovedOnlyWhenItIsEmpty(t *testing.T) {
	_, nodes, a := driven(t, 6, func(c *Config) { c.Automatic = true; c.MuteAfterReturn = 1 })
	n := nodes[0]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 6, RF: 3})
	refused(t, n, RemoveBroker{Broker: 6}, runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE) // alive, and not draining
	do(t, n.c, SetDraining{Broker: 6, Draining: true})
	do(t, n.c, SetDraining{Broker: 6, Draining: true})
	eventually(t, func() bool {
		d := do(t, n.c, Overview{}).Overview.Drains
		return len(d) == 1 && d[0].Empty()
	})
	do(t, n.c, RemoveBroker{Broker: 6})
	do(t, n.c, RemoveBroker{Broker: 6})
	if n.c.State().Brokers[6] != nil {
		t.Error("it is a member still")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, r := range a.groups {
		for _, v := range r.voters {
			if r.where[v] == 6 {
				t.Errorf("replica %d of group %d votes on the broker that was removed", v, id)
			}
		}
	}
}

// A cancel whose answer was lost is sent again, and must not cancel the move that came after.
func TestCancelIsOfOneMove(t *testing.T) {
	_, nodes := cluster(t, 2)
	n := nodes[0]
	do(t, n.c, CreateTopic{Name: "t", Partitions: 1, RF: 1})
	s, move := n.c.State(), func(id uint64) *placement.State {
		s := *n.c.State()
		s.Topics = maps.Clone(s.Topics)
		topic := *s.Topics["t"]
		topic.Partitions = slices.Clone(topic.Partitions)
		topic.Partitions[0].Move = &placement.Move{ID: id, Phase: placement.PhaseProposed}
		s.Topics["t"] = &topic
		return &s
	}
	name, with := pin(CancelMove{Topic: "t"})
	pinned := with(move(7).Topics["t"])
	if name != "t" || pinned.(CancelMove).Move != 7 || pinned.(CancelMove).ID != s.Topics["t"].ID {
		t.Fatalf("pinned as %+v", pinned)
	}
	if _, with = pin(CancelMove{Topic: "t", Move: 6}); with(move(7).Topics["t"]).(CancelMove).Move != 6 {
		t.Error("another move is pinned than the one that was named")
	}
	if cmd, _, err := n.c.planOperation(move(7), pinned); err != nil || cmd.(placement.CancelMove).Move != 7 {
		t.Errorf("cancels %+v, %v", cmd, err)
	}
	for _, later := range []*placement.State{move(8), s} {
		if _, _, err := n.c.planOperation(later, pinned); err.GetReason() != runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE {
			t.Errorf("cancels another move: %v", err)
		}
	}
	if _, with = pin(CancelMove{Topic: "t"}); with(s.Topics["t"]).(CancelMove).Move != 0 {
		t.Error("pinned a move that there is not")
	}
}
