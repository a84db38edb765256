package client

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	grpcmetadata "google.golang.org/grpc/metadata"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// ListOffsets finds an offset in each partition of a topic. Errors are *Error.
func (c *Client) ListOffsets(ctx context.Context, topic string, at At) (map[int32]int64, error) {
	return c.listOffsets(ctx, topic, nil, at, nil)
}

// listOffsets asks the leaders, again and again until each of the partitions (nil: all) has answered. It tells failed (if
// not nil) why it goes on.
func (c *Client) listOffsets(ctx context.Context, topic string, parts []int32, at At, failed func(*Error)) (map[int32]int64, error) {
	v, err := c.refresh.resolve(ctx, topic)
	if err != nil {
		return nil, err
	}
	if parts == nil {
		parts = make([]int32, len(v.leaders))
		for i := range parts {
			parts[i] = int32(i)
		}
	}
	out := make(map[int32]int64, len(parts))
	left := make(map[int32]bool, len(parts))
	for _, n := range parts {
		if int(n) >= len(v.leaders) {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION,
				"topic %q has partitions 0 to %d, not %d", topic, len(v.leaders)-1, n)
		}
		left[n] = true
	}
	var last *Error
	began := time.Now()
	for tries, pause := 1, pollMin; ; tries, pause = tries+1, min(2*pause, pollMax) {
		if e := c.askOffsets(ctx, topic, at, left, out); e != nil {
			if e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE {
				return nil, e
			}
			last = e
			if failed != nil {
				failed(e)
			}
		}
		if len(left) == 0 {
			return out, nil
		}
		if e := c.refresh.reach.nobody(c.meta.endpoints(), began, time.Now()); e != nil {
			return nil, e
		}
		c.refresh.trigger()
		select {
		case <-c.refresh.ended:
			return nil, errClosedCall()
		case <-ctx.Done():
		case <-time.After(pause):
		}
		if ctx.Err() != nil {
			return nil, gaveUp(ctx, time.Since(began), last, false, tries)
		}
		if v := c.meta.topic(topic); v.err != nil {
			return nil, v.err
		}
	}
}

// askOffsets asks each leader once about what is left, and moves the answers to out. The error is the worst one.
func (c *Client) askOffsets(ctx context.Context, topic string, at At, left map[int32]bool, out map[int32]int64) *Error {
	byLeader := make(map[int32][]*runnelv1.ListOffsetsPartition)
	v := c.meta.topic(topic)
	var last *Error
	for n := range left {
		if int(n) >= len(v.leaders) || v.leaders[n].id == noLeader {
			last = notWritten(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, fmt.Sprintf("partition %s/%d has no leader", topic, n))
			continue
		}
		if len(byLeader[v.leaders[n].id]) == maxRequestParts {
			continue // in the next round
		}
		byLeader[v.leaders[n].id] = append(byLeader[v.leaders[n].id], at.request(topic, n))
	}
	for broker, parts := range byLeader {
		resp, err := c.askOffsetsOf(ctx, broker, &runnelv1.ListOffsetsRequest{Partitions: parts})
		if err != nil {
			last = runnelv1.AsError(err)
			if last.GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE {
				return last
			}
			// Reading has no effect, so whatever happened the call may be made again.
			last = notWritten(last.GetReason(), fmt.Sprintf("partition %s/%d: its leader, broker %d, does not answer: %s",
				topic, parts[0].GetPartition(), broker, plainReason(last)))
			continue
		}
		for _, r := range resp.GetResults() {
			e := r.GetError()
			switch {
			case e == nil:
				out[r.GetPartition()] = r.GetOffset()
				delete(left, r.GetPartition())
			case e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC,
				e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION:
				// The broker may have just started: metadata decides.
				last = notWritten(e.GetReason(), e.Error())
			case e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE:
				return e
			default:
				c.meta.hint(topic, r.GetPartition(), broker, e)
				last = e
			}
		}
	}
	return last
}

func (c *Client) askOffsetsOf(ctx context.Context, broker int32, req *runnelv1.ListOffsetsRequest) (*runnelv1.ListOffsetsResponse, error) {
	addr := c.meta.address(broker)
	if addr == "" {
		return nil, notWritten(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, fmt.Sprintf("broker %d has no known address", broker))
	}
	cc, err := c.conns.get(addr)
	if err != nil {
		return nil, errClosedCall()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var h grpcmetadata.MD
	resp, err := runnelv1.NewBrokerClient(cc).ListOffsets(ctx, req, grpc.Header(&h))
	if c.conns.leaveIfNot(c.cfg.log, h, c.meta.cluster(), broker, addr, cc) {
		return nil, foreignAnswer(addr)
	}
	return resp, err
}

func (a At) request(topic string, n int32) *runnelv1.ListOffsetsPartition {
	p := &runnelv1.ListOffsetsPartition{Topic: topic, Partition: n}
	switch a.kind {
	case atEnd:
		p.At = &runnelv1.ListOffsetsPartition_End{End: true}
	case atTime:
		p.At = &runnelv1.ListOffsetsPartition_TimestampMs{TimestampMs: a.ms}
	default:
		p.At = &runnelv1.ListOffsetsPartition_Start{Start: true}
	}
	return p
}
