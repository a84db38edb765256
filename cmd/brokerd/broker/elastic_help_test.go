package broker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// elastic starts brokers that replace a silent one soon and have segments small enough that whole ones are shipped.
func elastic(t *testing.T, n int, replaceAfter time.Duration, more ...brokertest.Option) *brokertest.Cluster {
	t.Helper()
	return brokertest.Start(t, n, append([]brokertest.Option{brokertest.Edit(func(_ int, c *broker.Config) {
		c.ReplaceAfter, c.SegmentBytes = replaceAfter, 128<<10
	})}, more...)...)
}

// flow sends records to a topic until it is ended.
type flow struct {
	t    *testing.T
	stop context.CancelFunc
	done sync.WaitGroup
	sent int
}

// startFlow sends records numbered from first on, a few at a time, and fails the test at the first that is not acknowledged.
func startFlow(t *testing.T, cl *client.Client, topic string, first int) *flow {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	f := &flow{t: t, stop: stop, sent: first}
	all := patient(t)
	f.done.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			n := f.sent
			f.sent++
			cl.Produce(all, &client.Record{Topic: topic, Partition: -1, Key: fmt.Append(nil, n), Value: fmt.Append(nil, "value-", n)},
				func(_ *client.Record, err error) {
					if err != nil {
						t.Errorf("record %d was not acknowledged: %v", n, err)
					}
				})
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		if err := cl.Flush(all); err != nil {
			t.Errorf("records are unanswered: %v", err)
		}
	})
	t.Cleanup(func() { f.stop(); f.done.Wait() })
	return f
}

// end answers how many records were sent, all of them acknowledged.
func (f *flow) end() int {
	f.t.Helper()
	f.stop()
	f.done.Wait()
	return f.sent
}

// placed is what the cluster says of itself.
type placed struct {
	plan    *runnelv1.PlanResponse
	brokers map[int32]*runnelv1.BrokerDescription
	topics  map[string]*runnelv1.DescribeTopicResponse
}

func look(t *testing.T, cl *client.Client) (*placed, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	p := &placed{brokers: map[int32]*runnelv1.BrokerDescription{}, topics: map[string]*runnelv1.DescribeTopicResponse{}}
	var err error
	if p.plan, err = cl.Admin().Plan(ctx, &runnelv1.PlanRequest{}); err != nil {
		return nil, err
	}
	b, err := cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return nil, err
	}
	for _, d := range b.GetBrokers() {
		p.brokers[d.GetId()] = d
	}
	l, err := cl.Admin().ListTopics(ctx, &runnelv1.ListTopicsRequest{})
	if err != nil {
		return nil, err
	}
	for _, s := range l.GetTopics() {
		if p.topics[s.GetName()], err = cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: s.GetName()}); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// on counts the replicas of all topics on a broker.
func (p *placed) on(broker int32) (n int) {
	for _, topic := range p.topics {
		for _, part := range topic.GetPartitions() {
			if slices.Contains(part.GetReplicas(), broker) {
				n++
			}
		}
	}
	return n
}

// uneven tells what is left to do: moves, replicas more than one apart, trouble; empty if nothing is.
func (p *placed) uneven() string {
	pl := p.plan
	if len(pl.GetUnderWay()) > 0 || len(pl.GetMoves()) > 0 || len(pl.GetCancels()) > 0 || pl.GetWaiting() > 0 {
		return fmt.Sprintf("under way %v, planned %v", pl.GetUnderWay(), pl.GetMoves())
	}
	if len(pl.GetQuarantined()) > 0 {
		return fmt.Sprintf("quarantined %v", pl.GetQuarantined())
	}
	lo, hi := -1, 0
	for id, b := range p.brokers {
		if b.GetAlive() && !b.GetDraining() {
			n := p.on(id)
			hi = max(hi, n)
			if lo < 0 || n < lo {
				lo = n
			}
		}
	}
	if hi-lo > 1 {
		return fmt.Sprintf("one broker has %d replicas, another %d", lo, hi)
	}
	for name, topic := range p.topics {
		for _, part := range topic.GetPartitions() {
			if part.GetReason() != "" || part.GetLeader() <= 0 {
				return fmt.Sprintf("%s/%d: leader %d, %s", name, part.GetPartition(), part.GetLeader(), part.GetReason())
			}
		}
	}
	return ""
}

// settle waits until the cluster has nothing left to do and ok, which says what it waits for.
func settle(t *testing.T, c *brokertest.Cluster, cl *client.Client, ok func(*placed) string) *placed {
	t.Helper()
	var now *placed
	why := ""
	c.Eventually(func() bool {
		p, err := look(t, cl)
		if err != nil {
			why = err.Error()
			return false
		}
		now = p
		if why = p.uneven(); why == "" && ok != nil {
			why = ok(p)
		}
		return why == ""
	}, func() string { return why })
	return now
}

// empty wants a broker to hold nothing.
func empty(broker int32) func(*placed) string {
	return func(p *placed) string {
		if n := p.on(broker); n > 0 {
			return fmt.Sprintf("broker %d holds %d replicas", broker, n)
		}
		return ""
	}
}

// filled wants a broker to hold something.
func filled(broker int32) func(*placed) string {
	return func(p *placed) string {
		if p.on(broker) == 0 {
			return fmt.Sprintf("broker %d holds no replica", broker)
		}
		return ""
	}
}

// remove removes an empty broker. Draining it has its vote in the controller group given up, also where nobody can take it over: a
// dead broker might come back otherwise.
func remove(t *testing.T, c *brokertest.Cluster, cl *client.Client, broker int32) {
	t.Helper()
	if _, err := cl.Admin().DrainBroker(patient(t), &runnelv1.DrainBrokerRequest{Broker: broker}); err != nil {
		t.Fatal(err)
	}
	var last error
	c.Eventually(func() bool {
		_, last = cl.Admin().RemoveBroker(patient(t), &runnelv1.RemoveBrokerRequest{Broker: broker})
		return last == nil
	}, func() string { return last.Error() })
}

// partitionOf describes one partition.
func partitionOf(t *testing.T, cl *client.Client, topic string, n int32) *runnelv1.PartitionDescription {
	t.Helper()
	d, err := cl.Admin().DescribeTopic(patient(t), &runnelv1.DescribeTopicRequest{Name: topic})
	if err != nil {
		t.Fatal(err)
	}
	return d.GetPartitions()[n]
}
