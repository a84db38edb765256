package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// The topics. audit has one replica of each partition, so that there is a partition whose leader cannot be another; payments has two, so that
// there is a broker to move the third to.
const (
	orders, payments, audit = "orders", "payments", "audit"
	ordersPartitions        = 6
	paymentsPartitions      = 3
	auditPartitions         = 3
)

func createTopics(ctx context.Context, cl *client.Client) error {
	small := map[string]string{"segment.bytes": "1048576", "retention.bytes": "4194304"} // so that segments are deleted within a minute
	for _, t := range []*runnelv1.CreateTopicRequest{
		{Name: orders, Partitions: ordersPartitions, ReplicationFactor: 3, Config: small},
		{Name: payments, Partitions: paymentsPartitions, ReplicationFactor: 2, Config: map[string]string{"segment.bytes": "1048576"}},
		{Name: audit, Partitions: auditPartitions, ReplicationFactor: 1},
		{Name: "old", Partitions: 1, ReplicationFactor: 3},
	} {
		if _, err := cl.Admin().CreateTopic(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// load sends and reads until it is stopped. Errors are no news: brokers are broken on purpose, and what clients are promised is tested elsewhere.
type load struct {
	clients []*client.Client
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

func startLoad(ctx context.Context, seeds []string) (*load, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	for topic, rate := range map[string]int{orders: 600, payments: 200, audit: 20} {
		cl, err := l.client(seeds, client.WithLinger(50*time.Millisecond), client.WithBufferBytes(4<<20))
		if err != nil {
			return nil, err
		}
		reading, err := l.client(seeds)
		if err != nil {
			return nil, err
		}
		l.wg.Go(func() { send(ctx, cl, topic, rate) })
		l.wg.Go(func() { read(ctx, reading, topic) })
	}
	// Small requests, one at a time, as a service makes them.
	single, err := l.client(seeds, client.WithLinger(0))
	if err != nil {
		return nil, err
	}
	l.wg.Go(func() {
		each(ctx, 50*time.Millisecond, func() {
			_ = single.ProduceSync(ctx, &client.Record{Topic: orders, Partition: -1, Value: []byte("one")}) // errors are no news
		})
	})
	return l, nil
}

func (l *load) client(seeds []string, opts ...client.Option) (*client.Client, error) {
	cl, err := client.New(seeds, opts...)
	if err == nil {
		l.clients = append(l.clients, cl)
	}
	return cl, err
}

func (l *load) stop() {
	l.cancel()
	for _, cl := range l.clients {
		_ = cl.Close() // what is unanswered is of no interest
	}
	l.wg.Wait()
}

// each calls f again and again until ctx ends.
func each(ctx context.Context, every time.Duration, f func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// send sends so many records of 400 bytes a second, in bursts each tenth of a second.
func send(ctx context.Context, cl *client.Client, topic string, rate int) {
	n := 0
	each(ctx, 100*time.Millisecond, func() {
		for range rate / 10 {
			n++
			cl.Produce(ctx, &client.Record{Topic: topic, Partition: -1, Key: fmt.Appendf(nil, "customer-%d", n%1000), Value: make([]byte, 400)}, func(*client.Record, error) {})
		}
	})
}

// read reads a topic from its end on, and begins anew after an error.
func read(ctx context.Context, cl *client.Client, topic string) {
	each(ctx, 100*time.Millisecond, func() {
		r, err := cl.NewReader(topic, client.FromEnd())
		if err != nil {
			return
		}
		for _, err := range r.Records(ctx) {
			if err != nil {
				break
			}
		}
		_ = r.Close() // it answers none
	})
}

// flood keeps many large requests under way until ctx ends: more than the brokers' budget for them.
func (l *load) flood(ctx context.Context, seeds []string) (wait func(), err error) {
	var wg sync.WaitGroup
	var flooding []*client.Client
	value := make([]byte, 200<<10)
	for i := range 24 {
		cl, err := client.New(seeds, client.WithLinger(0))
		if err != nil {
			return nil, err
		}
		flooding = append(flooding, cl)
		wg.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				_ = cl.ProduceSync(ctx, &client.Record{Topic: orders, Partition: int32(n % ordersPartitions), Value: value}) // errors are no news
			}
		})
	}
	return func() {
		wg.Wait()
		for _, cl := range flooding {
			_ = cl.Close() // what is unanswered is of no interest
		}
	}, nil
}

// fill gives each partition of payments some megabytes that a move has to carry.
func fill(ctx context.Context, cl *client.Client, mib int) error {
	value := make([]byte, 64<<10)
	for i := range value {
		value[i] = byte(i * 7)
	}
	for p := range int32(paymentsPartitions) {
		var batch []*client.Record
		for range mib * 16 {
			batch = append(batch, &client.Record{Topic: payments, Partition: p, Value: value})
		}
		if err := cl.ProduceSync(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}
