package client

import (
	"context"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func (b *fakeBroker) Metadata(_ context.Context, req *runnelv1.MetadataRequest) (*runnelv1.MetadataResponse, error) {
	cluster := b.cluster()
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	resp := &runnelv1.MetadataResponse{ClusterId: cluster, Revision: b.c.revision}
	for id, o := range b.c.brokers {
		resp.Brokers = append(resp.Brokers, &runnelv1.BrokerInfo{Id: id, Address: b.c.addrLocked(id), Alive: !o.down})
	}
	if b.blind {
		resp.Revision = 0
	}
	deny := b.blind || b.c.denials > 0
	if b.c.denials > 0 && len(req.GetTopics()) > 0 {
		b.c.denials--
	}
	for _, name := range req.GetTopics() {
		t := &runnelv1.TopicMetadata{Name: name}
		if parts := b.c.topics[name]; parts != nil && !deny {
			t.Id, t.Config = 7, b.c.config
			for n, p := range parts {
				t.Partitions = append(t.Partitions, &runnelv1.PartitionMetadata{Partition: int32(n), LeaderId: p.leader, Term: p.term})
			}
		} else {
			t.Error = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "no topic %s", name)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp, nil
}

func (b *fakeBroker) InitProducer(ctx context.Context, _ *runnelv1.InitProducerRequest) (*runnelv1.InitProducerResponse, error) {
	if !b.old {
		if err := grpc.SetHeader(ctx, runnelv1.BrokerHeader(b.id, b.cluster())); err != nil {
			return nil, err
		}
	}
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if b.noIDs != nil {
		return nil, b.noIDs
	}
	b.c.nextPID++
	return &runnelv1.InitProducerResponse{ProducerId: b.c.nextPID}, nil
}

func (b *fakeBroker) ListOffsets(ctx context.Context, req *runnelv1.ListOffsetsRequest) (*runnelv1.ListOffsetsResponse, error) {
	if err := grpc.SetHeader(ctx, runnelv1.BrokerHeader(b.id, b.cluster())); err != nil {
		return nil, err
	}
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	resp := &runnelv1.ListOffsetsResponse{}
	for _, q := range req.GetPartitions() {
		res := &runnelv1.ListOffsetsResult{Topic: q.GetTopic(), Partition: q.GetPartition()}
		p, e := b.c.partLocked(b.id, q.GetTopic(), q.GetPartition())
		switch {
		case e != nil:
			res.Error = e
		case q.GetStart():
			res.Offset = p.start
		case q.GetEnd():
			res.Offset = p.next
		default:
			res.Offset = p.next
			for _, e := range p.log {
				if h, _ := record.ParseHeader(e.data); h.MaxTimestamp >= q.GetTimestampMs() {
					res.Offset = e.base
					break
				}
			}
		}
		resp.Results = append(resp.Results, res)
	}
	return resp, nil
}
