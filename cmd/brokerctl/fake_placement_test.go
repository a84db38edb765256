package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// fakePlacement is what the fake cluster's controller does: nothing moves by itself, and drains go on whenever one looks.
type fakePlacement struct {
	moves    []*runnelv1.MoveDescription
	draining map[int32]bool
	looked   map[int32]int                // times that a drain was looked at
	steps    []*runnelv1.DrainDescription // what it shows then, instead of drainSteps
	removed  map[int32]bool
	lost     bool   // the partitions of topics have lost their majority
	gone     bool   // and the rest
	unknown  string // why the controller tells nothing
	planned  bool   // there is something to plan
}

func (f *fakeCluster) partitionOf(topic string, n int32) (*fakeTopic, error) {
	t, err := f.topic(topic)
	if err != nil {
		return nil, err
	}
	if int(n) >= len(t.logs) {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION, "topic %q has no partition %d: it has 0 to %d", topic, n, len(t.logs)-1)
	}
	return t, nil
}

func (f *fakeCluster) moveOf(topic string, n int32) *runnelv1.MoveDescription {
	for _, m := range f.moves {
		if m.GetTopic() == topic && m.GetPartition() == n {
			return m
		}
	}
	return nil
}

func (f *fakeCluster) AlterTopic(_ context.Context, r *runnelv1.AlterTopicRequest) (*runnelv1.AlterTopicResponse, error) {
	t, err := f.topic(r.GetName())
	if err != nil {
		return nil, err
	}
	switch n := int(r.GetPartitions()); {
	case n != 0 && n <= len(t.logs):
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "topic %q has %d partitions and can only get more", t.name, len(t.logs))
	case n != 0:
		t.logs = append(t.logs, make([][]*client.Record, n-len(t.logs))...)
	case r.GetNoFewerReplicas() && r.GetReplicationFactor() != 0 && r.GetReplicationFactor() < t.replicas:
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "topic %q would have fewer replicas, and nobody has consented", t.name)
	case r.GetReplicationFactor() > 3:
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS, "replication factor %d needs %d brokers alive and 3 of 3 are (1, 2, 3)",
			r.GetReplicationFactor(), r.GetReplicationFactor())
	case r.GetReplicationFactor() != 0:
		t.replicas = r.GetReplicationFactor()
	default:
		config := map[string]string{}
		maps.Copy(config, t.config)
		maps.Copy(config, r.GetSetConfig())
		for _, k := range r.GetDeleteConfig() {
			delete(config, k)
		}
		t.config = config
	}
	return &runnelv1.AlterTopicResponse{
		Id: t.id, Config: t.config, Partitions: int32(len(t.logs)), ReplicationFactor: t.replicas, Reasons: []string{"3 of 3 brokers are alive and were considered"},
	}, nil
}

func (f *fakeCluster) MovePartition(_ context.Context, r *runnelv1.MovePartitionRequest) (*runnelv1.MovePartitionResponse, error) {
	if _, err := f.partitionOf(r.GetTopic(), r.GetPartition()); err != nil {
		return nil, err
	}
	if m := f.moveOf(r.GetTopic(), r.GetPartition()); m != nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_MOVE_UNDER_WAY, "%s/%d has a move under way to brokers %v", r.GetTopic(), r.GetPartition(), m.GetTo())
	}
	from := []int32{1, 2, 3}
	if slices.Equal(from, r.GetBrokers()) {
		return &runnelv1.MovePartitionResponse{}, nil
	}
	m := &runnelv1.MoveDescription{
		Id: uint64(len(f.moves) + 1), Topic: r.GetTopic(), Partition: r.GetPartition(), From: from, To: r.GetBrokers(), Phase: "proposed", Kind: "manual",
		Reason: r.GetReason(),
	}
	f.moves = append(f.moves, m)
	return &runnelv1.MovePartitionResponse{Move: m}, nil
}

func (f *fakeCluster) CancelMove(_ context.Context, r *runnelv1.CancelMoveRequest) (*runnelv1.CancelMoveResponse, error) {
	if _, err := f.partitionOf(r.GetTopic(), r.GetPartition()); err != nil {
		return nil, err
	}
	m := f.moveOf(r.GetTopic(), r.GetPartition())
	if m != nil && r.GetMove() != 0 && m.GetId() != r.GetMove() {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE, "move %d of %s/%d is over: move %d is under way",
			r.GetMove(), r.GetTopic(), r.GetPartition(), m.GetId())
	}
	switch m.GetPhase() {
	case "":
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE, "%s/%d has no move", r.GetTopic(), r.GetPartition())
	case "joint":
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_MOVE_TOO_FAR, "the move of %s/%d is in phase joint and can only go forward", r.GetTopic(), r.GetPartition())
	}
	m.Cancelled = true
	return &runnelv1.CancelMoveResponse{}, nil
}

func (f *fakeCluster) TransferLeadership(_ context.Context, r *runnelv1.TransferLeadershipRequest) (*runnelv1.TransferLeadershipResponse, error) {
	if _, err := f.partitionOf(r.GetTopic(), r.GetPartition()); err != nil {
		return nil, err
	}
	if r.GetTo() > 3 {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s/%d has no replica on broker %d", r.GetTopic(), r.GetPartition(), r.GetTo())
	}
	return &runnelv1.TransferLeadershipResponse{Leader: max(1, r.GetTo())}, nil
}

func (f *fakeCluster) ListMoves(_ context.Context, r *runnelv1.ListMovesRequest) (*runnelv1.ListMovesResponse, error) {
	if f.down != nil {
		return nil, f.down
	}
	resp := &runnelv1.ListMovesResponse{}
	for _, m := range f.moves {
		if r.GetTopic() == "" || r.GetTopic() == m.GetTopic() {
			resp.Moves = append(resp.Moves, m)
		}
	}
	return resp, nil
}

// busy is what moves in a cluster where something does.
func busy() []*runnelv1.MoveDescription {
	return []*runnelv1.MoveDescription{
		{Id: 41, Topic: "orders", Partition: 0, From: []int32{1, 2, 3}, To: []int32{1, 2, 4}, Phase: "installing", Kind: "drain", Reason: "broker 3 is being drained: moved to broker 4",
			BytesDone: 300 << 20, BytesTotal: 1200 << 20},
		{Id: 42, Topic: "orders", Partition: 1, From: []int32{2, 3, 1}, To: []int32{2, 4, 1}, Phase: "caught_up", Kind: "replace_dead", BytesDone: 7, BytesTotal: 7,
			Waiting: "for a majority of the new voters"},
		{Id: 43, Topic: "orders", Partition: 2, From: []int32{3, 1, 2}, To: []int32{4, 1, 2}, Phase: "joint", Kind: "manual", Reason: "asked for"},
	}
}

var noRoom = []*runnelv1.BlockedChange{
	{Topic: "orders", Partition: 0, Broker: 2, Reason: "replication factor 3 needs 3 brokers and there are 2 others"},
	{Topic: "orders", Partition: 1, Broker: 2, Reason: "replication factor 3 needs 3 brokers and there are 2 others"},
	{Topic: "events", Partition: 7, Broker: 2, Reason: "its replica on broker 1 must be replaced first"},
}

func (f *fakeCluster) Plan(context.Context, *runnelv1.PlanRequest) (*runnelv1.PlanResponse, error) {
	if f.down != nil {
		return nil, f.down
	}
	p := &runnelv1.PlanResponse{
		Revision: 77, UnderWay: f.moves, Reasons: []string{"brokers alive and not draining: 1, 2, 3"},
		Spread: &runnelv1.SpreadDescription{Replicas: 1, Bytes: 300 << 20, TopicReplicas: 1, WorstTopic: "orders", Brokers: []*runnelv1.BrokerLoad{
			{Broker: 1, Replicas: 12, Leaders: 4, Preferred: 4, Bytes: 5 << 30}, {Broker: 2, Replicas: 12, Leaders: 4, Preferred: 4, Bytes: 5 << 30},
			{Broker: 3, Replicas: 11, Leaders: 4, Preferred: 4, Bytes: 5<<30 - 300<<20},
		}},
	}
	if !f.planned {
		return p, nil
	}
	p.Moves = []*runnelv1.PlannedMove{
		{Topic: "orders", Partition: 5, From: []int32{3, 1, 2}, To: []int32{4, 1, 2}, Kind: "replace_dead", Reason: "broker 3 has been silent for 6m0s"},
		{Topic: "orders", Partition: 6, From: []int32{1, 2, 3}, To: []int32{1, 2, 4}, Kind: "join", Reason: "broker 4 has 3 replicas fewer than broker 3"},
	}
	p.Cancels = []*runnelv1.PlannedCancel{{Move: 9, Topic: "events", Partition: 1, Reason: "broker 5 is dead and would get a replica"}}
	p.Orders = []*runnelv1.PlannedOrder{{Topic: "events", Partition: 2, From: []int32{1, 2, 3}, To: []int32{2, 1, 3}, Reason: "broker 1 is preferred twice more than broker 2"}}
	p.Transfers = []*runnelv1.PlannedTransfer{{Topic: "events", Partition: 3, From: 1, To: 2, Reason: "broker 2 is its preferred leader and broker 1 leads"}}
	p.Waiting, p.Blocked, p.BlockedMore = 8, noRoom, 2
	p.Silent = []*runnelv1.SilentBroker{{Broker: 3, SilentMs: 361_400, ReplacedAfterMs: 300_000}, {Broker: 5, SilentMs: 2000}}
	p.Quarantined = []*runnelv1.QuarantinedReplica{{Topic: "events", Partition: 4, Broker: 1, Replica: 93, Reason: "fdatasync: input/output error"}}
	p.Drains = []*runnelv1.DrainDescription{drainSteps(3)[1]}
	p.Recoveries = []*runnelv1.RecoveryDescription{{Topic: "events", Partition: 0, Kept: 3, Lost: []uint64{1, 2}, Note: "rack b burnt down", Revision: 60}}
	p.More = 12
	return p, nil
}

// drainSteps is what the drain of a broker shows from look to look; the last step stays. Broker 2's is blocked; broker 1's is
// ended by somebody else.
func drainSteps(id int32) []*runnelv1.DrainDescription {
	d := func(replicas, moving int32, bytes, done int64) *runnelv1.DrainDescription {
		return &runnelv1.DrainDescription{Broker: id, Draining: true, Replicas: replicas, Moving: moving, Bytes: bytes, BytesMovingDone: done, Leaders: replicas / 3}
	}
	switch id {
	case 1:
		return []*runnelv1.DrainDescription{d(4, 2, 4<<20, 0), {Broker: 1, Replicas: 3}}
	case 2:
		one, two := d(5, 2, 500, 0), d(3, 0, 300, 0)
		one.Blocked, two.Blocked = noRoom, noRoom
		return []*runnelv1.DrainDescription{one, two}
	}
	waits, votes := d(8, 2, 800<<20, 0), d(0, 0, 0, 0)
	waits.Waiting = []string{"its other replicas wait for their turn: so many move at a time"}
	votes.ControllerVoter = true
	return []*runnelv1.DrainDescription{d(12, 2, 1200<<20, 0), d(12, 2, 1200<<20, 150<<20), waits, d(2, 2, 200<<20, 199<<20), votes, d(0, 0, 0, 0)}
}

func (f *fakeCluster) member(id int32) error {
	if f.down != nil {
		return f.down
	}
	if id > 3 || f.removed[id] {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER, "broker %d is not a member of the cluster", id)
	}
	return nil
}

func (f *fakeCluster) DrainBroker(_ context.Context, r *runnelv1.DrainBrokerRequest) (*runnelv1.DrainBrokerResponse, error) {
	if err := f.member(r.GetBroker()); err != nil {
		return nil, err
	}
	f.draining[r.GetBroker()] = true
	return &runnelv1.DrainBrokerResponse{}, nil
}

func (f *fakeCluster) UndrainBroker(_ context.Context, r *runnelv1.UndrainBrokerRequest) (*runnelv1.UndrainBrokerResponse, error) {
	if err := f.member(r.GetBroker()); err != nil {
		return nil, err
	}
	delete(f.draining, r.GetBroker())
	delete(f.looked, r.GetBroker())
	return &runnelv1.UndrainBrokerResponse{}, nil
}

func (f *fakeCluster) DescribeDrain(_ context.Context, r *runnelv1.DescribeDrainRequest) (*runnelv1.DescribeDrainResponse, error) {
	if err := f.member(r.GetBroker()); err != nil {
		return nil, err
	}
	steps := f.steps
	if steps == nil {
		steps = drainSteps(r.GetBroker())
	}
	if f.downAt > 0 && f.looked[r.GetBroker()] >= f.downAt {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "no broker answers")
	}
	n := min(f.looked[r.GetBroker()], len(steps)-1)
	f.looked[r.GetBroker()]++
	return &runnelv1.DescribeDrainResponse{Drain: steps[n]}, nil
}

func (f *fakeCluster) RemoveBroker(_ context.Context, r *runnelv1.RemoveBrokerRequest) (*runnelv1.RemoveBrokerResponse, error) {
	id := r.GetBroker()
	if err := f.member(id); err != nil {
		return nil, err
	}
	if f.looked[id] < len(drainSteps(id)) {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, "broker %d still holds 12 replicas", id)
	}
	f.removed[id] = true
	return &runnelv1.RemoveBrokerResponse{}, nil
}

func (f *fakeCluster) RecoverPartition(_ context.Context, r *runnelv1.RecoverPartitionRequest) (*runnelv1.RecoverPartitionResponse, error) {
	if _, err := f.partitionOf(r.GetTopic(), r.GetPartition()); err != nil {
		return nil, err
	}
	if !f.lost {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE,
			"%s/%d has a majority of its replicas, on brokers 1, 2, 3: nothing is to be given up; what is missing is replaced by itself", r.GetTopic(), r.GetPartition())
	}
	if f.gone {
		switch {
		case !r.GetAnew():
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
				"no replica of %s/%d can be kept: the replica on broker 1: its broker is silent; if none ever comes back, it can only begin anew, empty", r.GetTopic(), r.GetPartition())
		case r.GetAcceptDataLoss() && fmt.Sprint(r.GetLost()) != "[101]":
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OUTDATED, "named %v", r.GetLost())
		}
		return &runnelv1.RecoverPartitionResponse{
			Lost:      []*runnelv1.ReplicaDescription{{Replica: 101, Broker: 1, LogStartOffset: -1, HighWatermark: -1, Trouble: "its broker is silent"}},
			Recovered: r.GetAcceptDataLoss(),
		}, nil
	}
	if k := r.GetKeep(); k > 1 {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"%s/%d cannot go on with what broker %d has: the replica on broker %d: its broker is silent", r.GetTopic(), r.GetPartition(), k, k)
	}
	if r.GetAcceptDataLoss() {
		if fmt.Sprint(r.GetKeep(), r.GetLost()) != "1 [102 103]" {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OUTDATED, "named %v", r.GetLost())
		}
		f.lost = false
	}
	return &runnelv1.RecoverPartitionResponse{
		Kept: &runnelv1.ReplicaDescription{Replica: 101, Broker: 1, Alive: true, LogStartOffset: 0, HighWatermark: 1234, Bytes: 3 << 20},
		Lost: []*runnelv1.ReplicaDescription{
			{Replica: 102, Broker: 2, LogStartOffset: -1, HighWatermark: -1, Trouble: "its broker is silent"},
			{Replica: 103, Broker: 3, Alive: true, LogStartOffset: -1, HighWatermark: -1, Trouble: "is quarantined: fdatasync: input/output error"},
		},
		Recovered: r.GetAcceptDataLoss(),
	}, nil
}
