package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/workload"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// await waits for something to come about, and says how long that took. What it waits for in vain is an error.
func (r *diskfull) await(ctx context.Context, what string, ok func() (string, error)) (time.Duration, error) {
	return r.awaitWithin(ctx, within, what, ok)
}

func (r *diskfull) awaitWithin(ctx context.Context, within time.Duration, what string, ok func() (string, error)) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	began := time.Now()
	for {
		why, err := ok()
		switch {
		case err == nil:
			return time.Since(began), nil
		case !errors.Is(err, errWait):
			why = err.Error() // perhaps there is no leader just now
		}
		if err := r.pause(ctx, 50*time.Millisecond); err != nil {
			return 0, fmt.Errorf("waited in vain until %s: %s: %w", what, why, err)
		}
	}
}

// pause lets time pass, unless an error reaches the client.
func (r *diskfull) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-r.s.Failed():
		return fmt.Errorf("an error reached the client: %w", r.s.Err())
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *diskfull) describe(ctx context.Context) (*runnelv1.DescribeTopicResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: topic})
}

// leaders counts partitions by who leads them, -1 for nobody.
func (r *diskfull) leaders(ctx context.Context) (map[int32]int, error) {
	d, err := r.describe(ctx)
	n := map[int32]int{}
	for _, p := range d.GetPartitions() {
		n[p.GetLeader()]++
	}
	return n, err
}

// placement writes down where the replicas are.
func (r *diskfull) placement(ctx context.Context) (string, error) {
	d, err := r.describe(ctx)
	var out strings.Builder
	for _, p := range d.GetPartitions() {
		fmt.Fprintf(&out, "%d on %v; ", p.GetPartition(), slices.Sorted(slices.Values(p.GetReplicas())))
	}
	return out.String(), err
}

func (r *diskfull) replicasOn(ctx context.Context, id int32) (n int, err error) {
	d, err := r.describe(ctx)
	for _, p := range d.GetPartitions() {
		if slices.Contains(p.GetReplicas(), id) {
			n++
		}
	}
	return n, err
}

// id is a broker's id in the cluster.
func (r *diskfull) id(ctx context.Context, n int) (int32, error) {
	l, err := r.cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	for _, b := range l.GetBrokers() {
		if b.GetAddress() == r.cluster.Brokers[n].Client {
			return b.GetId(), nil
		}
	}
	return 0, errors.Join(err, fmt.Errorf("nobody knows broker %d", n+1))
}

// recovered waits until every replica is where it was and has caught up, the leaders are home, and records are acknowledged.
func (r *diskfull) recovered(ctx context.Context, from string) error {
	acked := r.s.Acked()
	took, err := r.await(ctx, "all replicas have caught up and the leaders are home after "+from, func() (string, error) {
		d, err := r.describe(ctx)
		if err != nil {
			return "", err
		}
		n := map[int32]int{}
		for _, p := range d.GetPartitions() {
			n[p.GetLeader()]++
			if len(p.GetInSync()) != len(p.GetReplicas()) {
				return fmt.Sprintf("partition %d: replicas on %v, in sync %v", p.GetPartition(), p.GetReplicas(), p.GetInSync()), errWait
			}
		}
		for id, want := range r.home {
			if n[id] != want {
				return fmt.Sprintf("leaders are %v, were %v", n, r.home), errWait
			}
		}
		return "no record is acknowledged", orWait(nil, r.s.Acked() > acked)
	})
	if err != nil {
		r.violated("%v", err)
		return nil // the rest is of interest too
	}
	now, err := r.placement(ctx)
	if err != nil {
		return err
	}
	if now != r.placed {
		r.violated("%s: replicas were replaced: %s; were %s", from, now, r.placed)
		r.placed = now
	}
	fmt.Printf("  as before %.1f s after there was space again\n", took.Seconds())
	return nil
}

// refusal sends a record of each partition to the broker, as a client without manners would, and answers the first refusal for want of space,
// if there was one, and whether the broker leads any.
func (r *diskfull) refusal(ctx context.Context, b *proc.Broker) (refused *runnelv1.Error, leads bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := grpc.NewClient(b.Client, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, false, err
	}
	defer conn.Close()
	s, err := runnelv1.NewBrokerClient(conn).Produce(ctx)
	if err != nil {
		return nil, false, err
	}
	// Its sequence has no predecessors: a leader with space refuses it too, after it has looked at its disk, and so nothing is ever written.
	for p := range int32(partitions) {
		batch, err := record.Encode(nil, []record.Record{{Value: []byte("x"), TimestampMS: time.Now().UnixMilli()}}, record.EncodeOptions{ProducerID: 1 << 60, ProducerEpoch: 0, BaseSequence: 5})
		if err != nil {
			return nil, false, err
		}
		if err := s.Send(&runnelv1.ProduceRequest{Partitions: []*runnelv1.ProducePartition{{Topic: topic, Partition: p, Batch: batch}}}); err != nil {
			return nil, false, err
		}
		resp, err := s.Recv()
		if err != nil {
			return nil, false, err
		}
		switch e := resp.GetResults()[0].GetError(); {
		case e == nil:
			return nil, true, errors.New("a record without its predecessors was taken")
		case e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_DISK_FULL:
			return e, true, nil
		case e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER:
			leads = true
		}
	}
	return nil, leads, nil
}

// reads asks the broker itself for the newest records that it has of each partition.
func (r *diskfull) reads(ctx context.Context, b *proc.Broker) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := grpc.NewClient(b.Client, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	got := 0
	var last error
	for p := range int32(partitions) {
		resp, err := runnelv1.NewBrokerClient(conn).FetchOnce(ctx, &runnelv1.FetchOnceRequest{
			Partitions: []*runnelv1.FetchPartition{{Topic: topic, Partition: p}}, MaxWaitMs: 100, MinBytes: 1, MaxBytes: 1 << 20, AnyReplica: true,
		})
		if err != nil {
			return err
		}
		res := resp.GetResults()[0].GetResult()
		if e := res.GetError(); e != nil {
			last = e
		} else if len(res.GetBatches()) > 0 {
			got++
		}
	}
	if got < partitions {
		return fmt.Errorf("%d of %d partitions were read: %w", got, partitions, last)
	}
	return nil
}

// stillRead reads the oldest record of each partition as any client does, each for itself: one that cannot be read is to keep none from being read.
func (r *diskfull) stillRead(ctx context.Context, while string) error {
	call, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	began, read := time.Now(), make(chan time.Duration, partitions)
	var wg sync.WaitGroup
	defer wg.Wait()
	for p := range int32(partitions) {
		reader, err := r.cl.NewReader(topic, client.FromStart(), client.Partitions(p))
		if err != nil {
			return err
		}
		wg.Go(func() {
			defer reader.Close()
			for _, err := range reader.Records(call) {
				if err == nil {
					read <- time.Since(began)
				}
				return // what is missing tells
			}
		})
	}
	wg.Wait()
	close(read)
	n, took := 0, time.Duration(0)
	for d := range read {
		n, took = n+1, max(took, d)
	}
	if ctx.Err() == nil && n < partitions {
		r.violated("%d of %d partitions can be read within %s while %s", n, partitions, readWithin, while)
	}
	fmt.Printf("  %d of %d partitions are read, after %.2f s\n", n, partitions, took.Seconds())
	return ctx.Err()
}

// notReady asks a broker why it is not ready.
func notReady(ctx context.Context, b *proc.Broker) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.HTTP+"/readyz", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	why, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return string(why), err
}

// equal compares the replicas of each partition, at rest.
func (r *diskfull) equal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	bounds, err := workload.Bounds(ctx, r.cl, topic)
	if err != nil {
		return err
	}
	hashes, err := workload.Replicas(ctx, r.cluster.Seeds(), topic, bounds)
	if err != nil {
		return err
	}
	for p, on := range hashes {
		want := ""
		for id, h := range on {
			if want == "" {
				want = h
			}
			if h != want {
				return fmt.Errorf("partition %d: the replica on broker %d differs from another", p, id)
			}
		}
	}
	return nil
}
