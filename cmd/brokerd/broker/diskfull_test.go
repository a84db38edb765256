package broker_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	testReserve = 1 << 20
	muchSpace   = 1 << 40
)

// disks are the brokers' disks, as far as they say how much is free, by number from 1.
type disks [4]atomic.Int64

// start runs three brokers on them.
func (d *disks) start(t *testing.T) *brokertest.Cluster {
	for n := range d {
		d[n].Store(muchSpace)
	}
	return elastic(t, 3, never, brokertest.Edit(func(n int, c *broker.Config) {
		c.DiskReserve = testReserve
		c.Hooks.Free = func(string) (int64, error) { return d[n].Load(), nil }
	}))
}

// leaders counts the partitions of a topic by who leads them.
func leaders(t *testing.T, cl *client.Client, topic string) map[int32]int {
	t.Helper()
	d, err := cl.Admin().DescribeTopic(patient(t), &runnelv1.DescribeTopicRequest{Name: topic})
	if err != nil {
		t.Fatal(err)
	}
	n := map[int32]int{}
	for _, p := range d.GetPartitions() {
		n[p.GetLeader()]++
	}
	return n
}

func TestLeadershipLeavesABrokerWhoseDiskIsNearlyFullAndReturns(t *testing.T) {
	var d disks
	c := d.start(t)
	cl := dial(t, c)
	create(t, cl, "orders", 6, 3)
	full := c.Broker(2).ID()
	const home = 2 // of six partitions; a topic's leaders go there in its first seconds
	now := map[int32]int{}
	c.Eventually(func() bool {
		now = leaders(t, cl, "orders")
		return now[full] == home && now[-1] == 0
	}, func() string { return fmt.Sprintf("broker %d does not lead its share to begin with: %v", full, now) })
	f := startFlow(t, cl, "orders", 0)
	d[2].Store(testReserve - 1)
	c.Eventually(func() bool {
		now = leaders(t, cl, "orders")
		return now[full] == 0 && now[-1] == 0
	}, func() string { return fmt.Sprintf("broker %d leads on: %v", full, now) })
	produce(t, cl, "orders", 1_000_000, 100)
	d[2].Store(2 * testReserve)
	c.Eventually(func() bool {
		now = leaders(t, cl, "orders")
		return now[full] == home
	}, func() string { return fmt.Sprintf("the leaders do not come back to broker %d: %v", full, now) })
	n := f.end()
	got := readAll(t, cl, "orders")
	for i := range 100 {
		delete(got, fmt.Sprint("value-", 1_000_000+i))
	}
	wantEach(t, got, n)
}

func TestWhereEveryDiskIsNearlyFullWritesAreRefusedAndReadsGoOn(t *testing.T) {
	var d disks
	c := d.start(t)
	cl := dial(t, c)
	create(t, cl, "orders", 3, 3)
	produce(t, cl, "orders", 0, 300)
	for n := range d {
		d[n].Store(0)
	}
	var last *runnelv1.Error
	c.Eventually(func() bool {
		for n := 1; n <= 3; n++ {
			for p := range int32(3) {
				r, err := rawDial(t, c.Config(n).Listen).produceRaw(t, "orders", p, batch(t, 1, 10))
				if err != nil {
					t.Fatal(err)
				}
				if r.GetError() == nil {
					return false // not noticed yet
				}
				if r.GetError().GetReason() == runnelv1.ErrorReason_ERROR_REASON_DISK_FULL {
					last = r.GetError()
				}
			}
		}
		return last != nil
	}, func() string { return "records are accepted on full disks" })
	if last.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || last.GetMessage() == "" {
		t.Errorf("%v", last)
	}
	if got := readAll(t, cl, "orders"); len(got) < 300 {
		t.Errorf("%d records are read from full disks", len(got))
	}
	for n := range d {
		d[n].Store(muchSpace)
	}
	produce(t, cl, "orders", 300, 300)
}
