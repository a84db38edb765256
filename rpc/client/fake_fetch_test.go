package client

import (
	"context"
	"sync"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Fetch serves committed batches within the credit.
func (b *fakeBroker) Fetch(s runnelv1.Broker_FetchServer) error {
	if err := s.SetHeader(runnelv1.BrokerHeader(b.id, b.cluster())); err != nil {
		return err
	}
	first, err := s.Recv()
	if err != nil {
		return err
	}
	b.c.mu.Lock()
	mute := b.c.mute
	b.c.mu.Unlock()
	if mute {
		<-s.Context().Done()
		return s.Context().Err()
	}
	var (
		mu     sync.Mutex
		credit = first.GetCreditBytes()
		more   = make(chan struct{}, 1)
		wg     sync.WaitGroup
	)
	defer wg.Wait()
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	wg.Go(func() {
		defer cancel()
		for {
			req, err := s.Recv()
			if err != nil {
				return
			}
			mu.Lock()
			credit += req.GetCreditBytes()
			mu.Unlock()
			select {
			case more <- struct{}{}:
			default:
			}
		}
	})
	at := make(map[int32]int64)
	for _, p := range first.GetPartitions() {
		at[p.GetPartition()] = p.GetOffset()
	}
	topic := first.GetPartitions()[0].GetTopic()
	for {
		mu.Lock()
		left := credit
		mu.Unlock()
		resp := &runnelv1.FetchResponse{}
		b.c.mu.Lock()
		changed := b.c.changed
		var sent int64
		for n := range at {
			if res := b.fetchLocked(topic, n, at[n], left-sent); res != nil {
				resp.Results = append(resp.Results, res)
				sent += int64(len(res.GetBatches()))
				at[n] = res.GetNextOffset()
				if res.GetError() != nil {
					delete(at, n)
				}
			}
		}
		b.c.mu.Unlock()
		if len(at) == 0 && len(resp.Results) == 0 {
			return nil
		}
		if len(resp.Results) > 0 {
			mu.Lock()
			credit -= sent
			mu.Unlock()
			if err := s.Send(resp); err != nil {
				return err
			}
			continue
		}
		select {
		case <-changed:
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}

func (b *fakeBroker) fetchLocked(topic string, n int32, at, credit int64) *runnelv1.FetchPartitionResult {
	res := &runnelv1.FetchPartitionResult{Topic: topic, Partition: n, NextOffset: at}
	p, e := b.c.partLocked(b.id, topic, n)
	if e != nil {
		res.Error = e
		return res
	}
	if at < p.start || at > p.next { // as a broker's stream does, without telling where the log is
		res.Error = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE, "offset %d", at)
		return res
	}
	res.HighWatermark, res.LogStartOffset = p.next, p.start
	for _, e := range p.log {
		if e.base+int64(e.count) <= at {
			continue
		}
		if int64(len(res.Batches)+len(e.data)) > credit || len(res.Batches) > 128<<10 {
			break
		}
		data := e.data
		if b.c.wire != nil {
			data = b.c.wire(e.base, data)
		}
		res.Batches = append(res.Batches, data...)
		res.NextOffset = e.base + int64(e.count)
	}
	if len(res.Batches) == 0 {
		return nil
	}
	return res
}

func (b *fakeBroker) CreateTopic(_ context.Context, req *runnelv1.CreateTopicRequest) (*runnelv1.CreateTopicResponse, error) {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if by, exists := b.c.created[req.GetName()]; exists && by != req.GetRequestId() {
		return nil, runnelv1.ToStatus(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS, "topic exists"))
	}
	b.c.created[req.GetName()] = req.GetRequestId()
	if len(b.c.adminErr) > 0 {
		e := b.c.adminErr[0]
		b.c.adminErr = b.c.adminErr[1:]
		return nil, runnelv1.ToStatus(e)
	}
	return &runnelv1.CreateTopicResponse{Id: 9, Partitions: req.GetPartitions()}, nil
}

func (b *fakeBroker) DescribeTopic(_ context.Context, req *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error) {
	if r, err := b.recorded(req); r != nil || err != nil {
		return r, err
	}
	if req.GetName() == "nope" {
		return nil, runnelv1.ToStatus(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "no topic is named %q", req.GetName()))
	}
	return &runnelv1.DescribeTopicResponse{Name: req.GetName(), Id: 9, Partitions: []*runnelv1.PartitionDescription{{Replicas: []int32{1, 2}}}}, nil
}
