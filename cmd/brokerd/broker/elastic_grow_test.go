package broker_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// followed is a flow of numbered records of several keys, and a reader that follows it.
type followed struct {
	t         *testing.T
	c         *brokertest.Cluster
	topic     string
	stop, cut context.CancelFunc // of the flow, and of the reader
	writing   sync.WaitGroup
	reading   sync.WaitGroup
	sent      int // until writing is done it is the flow's
	read      atomic.Int64
}

// follow sends records to a topic and checks each as it is read: each key's in the order in which they were sent, none missing, none
// twice, and no offset left out.
func follow(t *testing.T, c *brokertest.Cluster, cl *client.Client, topic string, keys int) *followed {
	t.Helper()
	r, err := cl.NewReader(topic)
	if err != nil {
		t.Fatal(err)
	}
	all := t.Context()
	flow, stop := context.WithCancel(all)
	read, cut := context.WithCancel(all)
	f := &followed{t: t, c: c, topic: topic, stop: stop, cut: cut}
	f.writing.Go(func() { f.write(flow, all, cl, keys) })
	f.reading.Go(func() {
		defer r.Close()
		f.check(read, r)
	})
	t.Cleanup(func() { stop(); cut(); f.writing.Wait(); f.reading.Wait() })
	return f
}

func (f *followed) write(ctx, all context.Context, cl *client.Client, keys int) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		n := f.sent
		f.sent++
		r := &client.Record{Topic: f.topic, Partition: -1, Key: fmt.Append(nil, "key-", n%keys), Value: fmt.Append(nil, n/keys)}
		cl.Produce(all, r, func(_ *client.Record, err error) {
			if err != nil {
				f.t.Errorf("record %d was not acknowledged: %v", n, err)
			}
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if err := cl.Flush(all); err != nil {
		f.t.Errorf("records are unanswered: %v", err)
	}
}

func (f *followed) check(ctx context.Context, r *client.Reader) {
	next, offset := map[string]int{}, map[int32]int64{}
	for rec, err := range r.Records(ctx) {
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f.t.Errorf("the reader ends: %v", err)
			return
		}
		key := string(rec.Key)
		n, err := strconv.Atoi(string(rec.Value))
		if err != nil || n != next[key] || rec.Offset != offset[rec.Partition] {
			f.t.Errorf("%s of partition %d is number %q at offset %d; next is number %d at offset %d", key, rec.Partition, rec.Value, rec.Offset,
				next[key], offset[rec.Partition])
			return
		}
		next[key]++
		offset[rec.Partition]++
		f.read.Add(1)
	}
}

// end stops the flow, waits until the reader has all of it, and reads everything once more.
func (f *followed) end(cl *client.Client) {
	f.t.Helper()
	f.stop()
	f.writing.Wait()
	f.c.Eventually(func() bool { return f.read.Load() >= int64(f.sent) || f.t.Failed() }, func() string {
		return fmt.Sprintf("the reader has %d of %d records", f.read.Load(), f.sent)
	})
	f.cut()
	f.reading.Wait()
	r, err := cl.NewReader(f.topic, client.FromStart(), client.ToEnd())
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Close()
	f.read.Store(0)
	f.check(patient(f.t), r)
	if got := f.read.Load(); got != int64(f.sent) {
		f.t.Errorf("%d records are there at the end, %d were sent", got, f.sent)
	}
}

// voting counts the voters of the controller group, as a broker knows them.
func voting(b *broker.Broker) (n int) {
	for _, r := range b.State().Controller {
		if !r.Learner {
			n++
		}
	}
	return n
}

// sized wants so many brokers, and so many replicas of each partition.
func sized(brokers, rf int) func(*placed) string {
	return func(p *placed) string {
		if len(p.brokers) != brokers {
			return fmt.Sprintf("%d brokers, %d shall be", len(p.brokers), brokers)
		}
		for _, part := range p.topics["orders"].GetPartitions() {
			if n := len(part.GetReplicas()); n != rf {
				return fmt.Sprintf("partition %d has %d replicas, %d were asked for", part.GetPartition(), n, rf)
			}
		}
		return ""
	}
}

func TestAClusterOfOneGrowsToSevenAndShrinksBackWhileRecordsFlow(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some thirty seconds")
	}
	c := elastic(t, 1, never)
	cl := dial(t, c)
	create(t, cl, "orders", 12, 1)
	f := follow(t, c, cl, "orders", 60)
	rf := 1
	// even waits for what each step has to lead to: no broker has two replicas more than another.
	even := func(brokers, voters int) {
		t.Helper()
		settle(t, c, cl, func(p *placed) string {
			if n := voting(c.Broker(c.Size())); n != voters {
				return fmt.Sprintf("%d brokers vote in the controller group, %d of %d shall", n, voters, brokers)
			}
			return sized(brokers, rf)(p)
		})
		t.Logf("%d brokers: %d records read", brokers, f.read.Load())
	}
	alter := func(to int) {
		t.Helper()
		rf = to
		ask := &runnelv1.AlterTopicRequest{Name: "orders", ReplicationFactor: int32(to)}
		if _, err := cl.Admin().AlterTopic(patient(t), ask); err != nil {
			t.Fatal(err)
		}
	}
	grow := func(to int) {
		for c.Size() < to {
			c.Add()
		}
		c.WaitReady()
	}
	// shrink takes brokers away, all of them at the same time.
	shrink := func(from, to int) {
		t.Helper()
		for n := from; n <= to; n++ {
			if _, err := cl.Admin().DrainBroker(patient(t), &runnelv1.DrainBrokerRequest{Broker: c.Broker(n).ID()}); err != nil {
				t.Fatal(err)
			}
		}
		settle(t, c, cl, func(p *placed) (why string) {
			for n := from; n <= to; n++ {
				why += empty(c.Broker(n).ID())(p)
			}
			return why
		})
		for n := from; n <= to; n++ {
			remove(t, c, cl, c.Broker(n).ID())
			c.StopBroker(n)
		}
	}
	even(1, 1)
	grow(3)
	alter(3)
	even(3, 3)
	grow(7)
	even(7, 5)
	shrink(1, 4) // the founder among them
	even(3, 3)
	alter(1)
	even(3, 3)
	shrink(5, 6)
	even(1, 1)
	f.end(cl)
}
