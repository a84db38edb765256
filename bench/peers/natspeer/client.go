package natspeer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-io/runnel/bench/peers/system"
	"github.com/runnel-io/runnel/cmd/brokerctl/load"
)

// Connect makes the client. option names how producers publish; see options.
func Connect(addresses []string, option string) (system.Client, error) {
	o, err := find(option)
	if err != nil {
		return nil, err
	}
	nc, err := connect(addresses)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &cluster{addresses: addresses, option: o, nc: nc, js: js}, nil
}

// connect dials the first address that answers; it moves to another as soon as the connection breaks.
func connect(addresses []string) (*nats.Conn, error) {
	var urls string
	for i, a := range addresses {
		if i > 0 {
			urls += ","
		}
		urls += "nats://" + a
	}
	return nats.Connect(urls, nats.DontRandomize(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.Timeout(2*time.Second))
}

// cluster is NATS as the load generator sees it.
type cluster struct {
	addresses []string
	option    option
	nc        *nats.Conn
	js        jetstream.JetStream
	layout    atomic.Pointer[layout] // of the topic in use
	turn      atomic.Int64           // producers so far
}

// layout is how a topic lies in streams.
type layout struct {
	topic      string
	partitions int32
	streams    int32 // partitions, or 1
}

func (l layout) stream(i int32) string { return fmt.Sprintf("%s-%d", l.topic, i) }

// subject of a partition. With one stream, it has all of them.
func (l layout) subject(p int32) string { return fmt.Sprintf("%s.%d", l.topic, p) }

func (l layout) streamOf(p int32) int32 { return p % l.streams }

func (l layout) subjects(stream int32) []string {
	if l.streams == 1 {
		return []string{l.topic + ".*"}
	}
	return []string{l.subject(stream)}
}

func (c *cluster) CreateTopic(ctx context.Context, name string, partitions, replicas int32, _ map[string]string) (int32, error) {
	l := layout{topic: name, partitions: partitions, streams: partitions}
	if c.option.oneStream {
		l.streams = 1
	}
	for i := range l.streams {
		_, err := c.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: l.stream(i), Subjects: l.subjects(i), Storage: jetstream.FileStorage, Replicas: int(replicas),
			AllowAtomicPublish: true, AllowBatchPublish: true,
		})
		if err != nil {
			return 0, fmt.Errorf("making stream %s: %w", l.stream(i), err)
		}
	}
	c.layout.Store(&l)
	// A stream may be made before its group has a leader.
	return replicas, system.Poll(ctx, nil, 20*time.Millisecond, func() error {
		_, err := c.Leaders(ctx, name)
		return err
	})
}

func (c *cluster) DeleteTopic(ctx context.Context, _ string) error {
	l := c.layout.Load()
	var errs []error
	for i := range l.streams {
		errs = append(errs, c.js.DeleteStream(ctx, l.stream(i)))
	}
	return errors.Join(errs...)
}

func (c *cluster) Offsets(ctx context.Context, _ string) (start, end map[int32]int64, err error) {
	l := c.layout.Load()
	start, end = map[int32]int64{}, map[int32]int64{}
	for p := range l.partitions {
		start[p], end[p] = 0, 0
	}
	for i := range l.streams {
		s, err := c.js.Stream(ctx, l.stream(i))
		if err != nil {
			return nil, nil, err
		}
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"))
		if err != nil {
			return nil, nil, err
		}
		for p := range l.partitions {
			end[p] += int64(info.State.Subjects[l.subject(p)])
		}
	}
	return start, end, nil
}

func (c *cluster) Replicas(context.Context, string) (int32, error) { return 3, nil }

func (c *cluster) Leaders(ctx context.Context, _ string) ([]string, error) {
	l := c.layout.Load()
	leaders := make([]string, l.partitions)
	for i := range l.streams {
		s, err := c.js.Stream(ctx, l.stream(i))
		if err != nil {
			return nil, err
		}
		info := s.CachedInfo()
		var n int
		if info.Cluster == nil || info.Cluster.Leader == "" {
			return nil, fmt.Errorf("stream %s has no leader", l.stream(i))
		}
		if _, err := fmt.Sscanf(info.Cluster.Leader, "s%d", &n); err != nil || n < 1 || n > len(c.addresses) {
			return nil, fmt.Errorf("stream %s is led by %q", l.stream(i), info.Cluster.Leader)
		}
		for p := range l.partitions {
			if l.streamOf(p) == i {
				leaders[p] = c.addresses[n-1]
			}
		}
	}
	return leaders, nil
}

// oneTimeout is how long a publish waits for its acknowledgement before it is sent again: long enough for a slow disk,
// short against an election.
const oneTimeout = 250 * time.Millisecond

func (c *cluster) One(ctx context.Context, _ string, partition int32, value []byte) error {
	subject := c.layout.Load().subject(partition)
	for {
		try, cancel := context.WithTimeout(ctx, oneTimeout)
		_, err := c.js.Publish(try, subject, value, jetstream.WithRetryAttempts(25), jetstream.WithRetryWait(10*time.Millisecond))
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (c *cluster) Consumer() (load.Consumer, error) {
	nc, err := connect(c.addresses)
	if err != nil {
		return nil, err
	}
	return &consumer{cluster: c, nc: nc}, nil
}

// Producer dials a connection of its own: to the leader's server where all partitions have the same, else to each server
// in turn.
func (c *cluster) Producer(o load.ProducerOptions) (load.Producer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l := *c.layout.Load()
	leaders, err := c.Leaders(ctx, l.topic)
	if err != nil {
		return nil, err
	}
	turn := int(c.turn.Add(1) - 1)
	first := c.addresses[turn%len(c.addresses)]
	if l.streams == 1 {
		first = leaders[0]
	}
	nc, err := connect(append([]string{first}, c.addresses...))
	if err != nil {
		return nil, err
	}
	p, err := c.option.make(nc, l, turn, c.option)
	if err != nil {
		nc.Close()
		return nil, err
	}
	_ = o // batching is the option's
	return p, nil
}

func (c *cluster) Close() error {
	c.nc.Close()
	return nil
}
