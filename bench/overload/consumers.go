package main

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// trickle is what the slow consumer reads a second.
const trickle = 64 << 10

// readers opens streams that are granted all the credit there is and never read, round the brokers, and one consumer that reads slowly.
func readers(ctx context.Context, o loadOptions, t *tally) error {
	var conns []*grpc.ClientConn
	defer func() {
		for _, c := range conns {
			_ = c.Close() // what it carried is of no interest
		}
	}()
	var wg sync.WaitGroup
	defer wg.Wait()
	request, err := everything(ctx, o.seeds)
	if err != nil {
		return err
	}
	for i := range o.n {
		c, err := grpc.NewClient(o.seeds[i%len(o.seeds)], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		conns = append(conns, c)
		s, err := runnelv1.NewBrokerClient(c).Fetch(ctx)
		if err == nil {
			err = s.Send(request)
		}
		if err != nil {
			t.failed(ctx, "a consumer that never reads", err)
			continue
		}
		t.count("never read", 1)
	}
	wg.Go(func() { t.failed(ctx, "the slow consumer", readSlowly(ctx, o.seeds, t)) })
	ready()
	<-ctx.Done()
	return nil
}

// everything asks for all that the flood's topic holds. What retention takes before the broker has read it is refused for that partition.
func everything(ctx context.Context, seeds []string) (*runnelv1.FetchRequest, error) {
	cl, err := client.New(seeds)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	starts, err := cl.ListOffsets(ctx, floodTopic, client.AtStart())
	if err != nil {
		return nil, err
	}
	request := &runnelv1.FetchRequest{CreditBytes: 64 << 20, AnyReplica: true}
	for p, start := range starts {
		request.Partitions = append(request.Partitions, &runnelv1.FetchPartition{Topic: floodTopic, Partition: p, Offset: start})
	}
	return request, nil
}

func readSlowly(ctx context.Context, seeds []string, t *tally) error {
	cl, err := client.New(seeds, client.WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return &slowConn{Conn: c, began: time.Now()}, nil
	})))
	if err != nil {
		return err
	}
	defer cl.Close()
	for ctx.Err() == nil { // what it has not read yet may be trimmed meanwhile: it begins anew where the log starts
		r, err := cl.NewReader(floodTopic, client.FromStart())
		if err != nil {
			return err
		}
		for rec, err := range r.Records(ctx) {
			if err != nil {
				t.failed(ctx, "the slow consumer", err)
				break
			}
			t.count("bytes read slowly", int64(len(rec.Value)))
		}
		r.Close()
	}
	return nil
}

// slowConn reads trickle bytes a second.
type slowConn struct {
	net.Conn
	began time.Time
	read  int64
}

func (c *slowConn) Read(p []byte) (int, error) {
	timer := time.NewTimer(time.Until(c.began.Add(time.Duration(float64(c.read) / trickle * float64(time.Second)))))
	<-timer.C
	n, err := c.Conn.Read(p[:min(len(p), trickle/8)])
	c.read += int64(n)
	return n, err
}
