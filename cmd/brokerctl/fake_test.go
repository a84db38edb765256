package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// fakeCluster is a cluster of three brokers in memory. Its answers do not depend on the clock.
type fakeCluster struct {
	mu      sync.Mutex
	topics  []*fakeTopic
	nextID  uint64
	trouble bool  // broker 3 is dead and a partition has no leader
	down    error // what every call answers
	downAt  int   // after so many looks at a drain, nobody answers; 0: never
	// fate, if not nil, decides over the n-th record handed over.
	fate   func(n int) error
	handed int
	// slow decides the fate of records at Flush only; a record whose context has ended by then fails.
	slow    bool
	pending []func()
	// waiting is why readers wait; they give nothing then.
	waiting string
	// hangs: readers give what there is, and their end never comes. offsetsDown is what ListOffsets answers.
	hangs       bool
	offsetsDown error
	// unheard: the broker that is asked to list topics has not heard of them.
	unheard bool
	// listed, if not 0, is the replication factor that it has heard of last.
	listed   int32
	spec     connectSpec
	open     int
	settings fakeSettings
	fakePlacement
}

type fakeTopic struct {
	name     string
	id       uint64
	replicas int32
	config   map[string]string
	logs     [][]*client.Record
}

func newFakeCluster() *fakeCluster {
	return &fakeCluster{nextID: 7, fakePlacement: fakePlacement{draining: map[int32]bool{}, looked: map[int32]int{}, removed: map[int32]bool{}}}
}

func (f *fakeCluster) connect(_ []string, s connectSpec) (cluster, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spec = s
	f.open++
	return f, nil
}

func (f *fakeCluster) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
	return nil
}

func (f *fakeCluster) Admin() admin { return f }

func (f *fakeCluster) Flush(context.Context) error {
	for _, decide := range f.pending {
		decide()
	}
	f.pending = nil
	return nil
}

func (f *fakeCluster) topic(name string) (*fakeTopic, error) {
	if f.down != nil {
		return nil, f.down
	}
	for _, t := range f.topics {
		if t.name == name {
			return t, nil
		}
	}
	return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q does not exist: create it first", name)
}

func (f *fakeCluster) CreateTopic(_ context.Context, r *runnelv1.CreateTopicRequest) (*runnelv1.CreateTopicResponse, error) {
	if _, err := f.topic(r.GetName()); err == nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS, "topic %q exists already", r.GetName())
	}
	if r.GetReplicationFactor() > 3 {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS,
			"replication factor %d needs as many brokers, 3 are alive: start more or ask for less", r.GetReplicationFactor())
	}
	t := &fakeTopic{name: r.GetName(), id: f.nextID, replicas: r.GetReplicationFactor(), config: r.GetConfig()}
	if t.replicas == 0 {
		t.replicas = 3
	}
	t.logs = make([][]*client.Record, r.GetPartitions())
	f.nextID++
	f.topics = append(f.topics, t)
	return &runnelv1.CreateTopicResponse{Id: t.id, Partitions: r.GetPartitions(), ReplicationFactor: t.replicas}, nil
}

func (f *fakeCluster) DeleteTopic(_ context.Context, r *runnelv1.DeleteTopicRequest) (*runnelv1.DeleteTopicResponse, error) {
	if _, err := f.topic(r.GetName()); f.down != nil {
		return nil, f.down
	} else if err != nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q does not exist", r.GetName())
	}
	for i, t := range f.topics {
		if t.name == r.GetName() {
			f.topics = append(f.topics[:i], f.topics[i+1:]...)
			break
		}
	}
	return &runnelv1.DeleteTopicResponse{}, nil
}

func (f *fakeCluster) ListTopics(context.Context, *runnelv1.ListTopicsRequest) (*runnelv1.ListTopicsResponse, error) {
	resp := &runnelv1.ListTopicsResponse{}
	if f.unheard {
		return resp, nil
	}
	for _, t := range f.topics {
		resp.Topics = append(resp.Topics, &runnelv1.TopicSummary{
			Name: t.name, Id: t.id, Partitions: int32(len(t.logs)), ReplicationFactor: cmp.Or(f.listed, t.replicas),
		})
	}
	return resp, f.down
}

func (f *fakeCluster) DescribeTopic(_ context.Context, r *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error) {
	t, err := f.topic(r.GetName())
	if err != nil {
		return nil, err
	}
	resp := &runnelv1.DescribeTopicResponse{Name: t.name, Id: t.id, Config: t.config}
	for i, log := range t.logs {
		p := &runnelv1.PartitionDescription{Partition: int32(i), Leader: int32(i)%3 + 1, Term: 4, HighWatermark: int64(len(log))}
		for k := range t.replicas {
			p.Replicas = append(p.Replicas, (int32(i)+k)%3+1)
		}
		p.InSync, p.Move = p.Replicas, f.moveOf(t.name, int32(i))
		if f.trouble && p.Leader == 3 {
			p.Leader, p.LogStartOffset, p.HighWatermark, p.InSync = -1, -1, -1, nil
			p.Learners = []int32{2}
			p.Reason = "broker 3 is dead and the election is under way"
		}
		resp.Partitions = append(resp.Partitions, p)
	}
	return resp, nil
}

func (f *fakeCluster) brokers() []*runnelv1.BrokerDescription {
	var bs []*runnelv1.BrokerDescription
	for id := int32(1); id <= 3; id++ {
		b := &runnelv1.BrokerDescription{
			Id: id, Address: fmt.Sprintf("127.0.0.1:70%d0", 6+id), PeerAddress: fmt.Sprintf("127.0.0.1:70%d1", 6+id),
			Alive: !f.trouble || id < 3, Draining: f.draining[id], Leaders: 4, Replicas: 12, Version: "v0.1.0",
		}
		if id == 1 {
			b.Rack = "a"
		}
		if !b.Alive {
			b.Leaders = 0
		}
		bs = append(bs, b)
	}
	return bs
}

func (f *fakeCluster) ListBrokers(context.Context, *runnelv1.ListBrokersRequest) (*runnelv1.ListBrokersResponse, error) {
	return &runnelv1.ListBrokersResponse{Brokers: f.brokers()}, f.down
}

func (f *fakeCluster) ClusterStatus(context.Context, *runnelv1.ClusterStatusRequest) (*runnelv1.ClusterStatusResponse, error) {
	resp := &runnelv1.ClusterStatusResponse{
		ClusterId: "qUz3sWv1", ControllerId: 2, Brokers: f.brokers(), Topics: int32(len(f.topics)), Partitions: 1200,
		Moves: f.moves, PlacementUnknown: f.unknown,
	}
	if f.planned {
		resp.Blocked, resp.BlockedMore = noRoom, 2
	}
	if f.trouble {
		resp.Leaderless = []*runnelv1.PartitionProblem{{Topic: "orders", Partition: 2, Reason: "broker 3 is dead and the election is under way"}}
		resp.UnderReplicated = []*runnelv1.PartitionProblem{{Topic: "orders", Partition: 0, Reason: "broker 3 is dead"}, {Topic: "orders", Partition: 1, Reason: "broker 3 is dead"}}
	}
	return resp, f.down
}

func (f *fakeCluster) Metadata(_ context.Context, topics ...string) (*runnelv1.MetadataResponse, error) {
	resp := &runnelv1.MetadataResponse{}
	for _, name := range topics {
		t, err := f.topic(name)
		if f.down != nil {
			return nil, f.down
		}
		if err != nil {
			resp.Topics = append(resp.Topics, &runnelv1.TopicMetadata{Name: name, Error: runnelv1.AsError(err)})
			continue
		}
		resp.Topics = append(resp.Topics, &runnelv1.TopicMetadata{Name: name, Config: t.config})
	}
	return resp, nil
}

// recordTime gives record n of a partition its timestamp: one second after the other, from a full hour on.
func recordTime(n int) time.Time {
	return time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
}

func (f *fakeCluster) Produce(ctx context.Context, r *client.Record, promise func(*client.Record, error)) {
	if !f.slow {
		f.write(r, promise)
		return
	}
	f.pending = append(f.pending, func() {
		if err := ctx.Err(); err != nil {
			promise(r, err)
			return
		}
		f.write(r, promise)
	})
}

func (f *fakeCluster) write(r *client.Record, promise func(*client.Record, error)) {
	f.mu.Lock()
	n := f.handed
	f.handed++
	f.mu.Unlock()
	if f.fate != nil {
		if err := f.fate(n); err != nil {
			promise(r, err)
			return
		}
	}
	t, err := f.topic(r.Topic)
	if err != nil {
		promise(r, err)
		return
	}
	if r.Partition < 0 {
		r.Partition = int32(n % len(t.logs))
	}
	if int(r.Partition) >= len(t.logs) {
		promise(r, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION, "topic %s has no partition %d", r.Topic, r.Partition))
		return
	}
	r.Offset = int64(len(t.logs[r.Partition]))
	kept := *r
	kept.Timestamp = recordTime(int(r.Offset))
	t.logs[r.Partition] = append(t.logs[r.Partition], &kept)
	promise(r, nil)
}

func (f *fakeCluster) ListOffsets(_ context.Context, topic string, at client.At) (map[int32]int64, error) {
	t, err := f.topic(topic)
	if err == nil {
		err = f.offsetsDown
	}
	if err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	for p, log := range t.logs {
		offsets[int32(p)] = 0
		if at == client.AtEnd() {
			offsets[int32(p)] = int64(len(log))
		}
	}
	return offsets, nil
}

func (f *fakeCluster) NewReader(topic string, s readSpec) (reader, error) {
	t, err := f.topic(topic)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open++
	return &fakeReader{f, t, s}, nil
}

// fakeReader gives the partitions one after the other. Like the SDK's it begins with a whole batch, here two records.
type fakeReader struct {
	f *fakeCluster
	t *fakeTopic
	s readSpec
}

func (r *fakeReader) Close() error { return r.f.Close() }

func (r *fakeReader) Waiting() string { return r.f.waiting }

func (r *fakeReader) Records(ctx context.Context) iter.Seq2[*client.Record, error] {
	return func(yield func(*client.Record, error) bool) {
		if r.f.waiting != "" {
			<-ctx.Done()
			yield(nil, ctx.Err())
			return
		}
		for p, log := range r.t.logs {
			if len(r.s.partitions) > 0 && !strings.Contains(fmt.Sprint(r.s.partitions), fmt.Sprint(p)) {
				continue
			}
			from := int64(0)
			switch r.s.from.kind {
			case atEnd:
				from = int64(len(log))
			case atOffset:
				from = r.s.from.n
			case atTime:
				for from < int64(len(log)) && log[from].Timestamp.Before(r.s.from.t) {
					from++
				}
				from &^= 1
			}
			if from > int64(len(log)) {
				yield(nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE,
					"offset %d of partition %s/%d is out of range: its log starts at offset 0 and ends at %d", from, r.t.name, p, len(log)))
				return
			}
			for _, rec := range log[from:] {
				if !yield(rec, nil) {
					return
				}
			}
		}
		if !r.s.toEnd || r.f.hangs {
			<-ctx.Done()
			yield(nil, ctx.Err())
		}
	}
}
