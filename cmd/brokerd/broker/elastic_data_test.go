package broker_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// wantFolders waits until a broker's disk holds so many replicas, the controller's included.
func wantFolders(t *testing.T, c *brokertest.Cluster, n, want int) {
	t.Helper()
	dir := filepath.Join(c.Config(n).DataDir, "replicas")
	c.Eventually(func() bool { return folders(dir) == want }, func() string {
		return fmt.Sprintf("broker %d holds %d replicas, %d are meant", n, folders(dir), want)
	})
}

func TestDataIsDeletedAlsoFromABrokerThatWasDown(t *testing.T) {
	t.Parallel()
	c := elastic(t, 4, never, brokertest.Edit(func(_ int, c *broker.Config) { c.ManualPlacement = true }))
	cl := dial(t, c)
	create(t, cl, "orders", 1, 3)
	produce(t, cl, "orders", 0, 1000)
	before := partitionOf(t, cl, "orders", 0).GetReplicas()
	free := int32(1)
	for slices.Contains(before, free) {
		free++
	}
	away, last := c.ByID(before[2]), c.ByID(before[1])
	wantFolders(t, c, away, 2)
	// Its replica moves away while it is down.
	c.Crash(away)
	move(t, c, cl, []int32{before[0], before[1], free})
	c.Restart(away)
	c.WaitReady()
	wantFolders(t, c, away, 1)
	wantEach(t, readAll(t, cl, "orders"), 1000)
	// And a topic is deleted while another one is.
	c.Crash(last)
	if _, err := cl.Admin().DeleteTopic(patient(t), &runnelv1.DeleteTopicRequest{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	c.Restart(last)
	c.WaitReady()
	for n := 1; n <= 4; n++ {
		wantFolders(t, c, n, 1)
	}
}

func TestReplicasAreSpreadOverRacksThatCome(t *testing.T) {
	t.Parallel()
	racks := []string{"a", "a", "b", "b", "c", "c"}
	c := elastic(t, 3, never, brokertest.Edit(func(n int, c *broker.Config) { c.Rack = racks[n-1] }))
	cl := dial(t, c)
	create(t, cl, "orders", 6, 3)
	f := startFlow(t, cl, "orders", 0)
	for range 3 {
		c.Add()
	}
	c.WaitReady()
	rack := map[int32]string{}
	for n := 1; n <= 6; n++ {
		rack[c.Broker(n).ID()] = racks[n-1]
	}
	settle(t, c, cl, func(p *placed) string {
		for _, part := range p.topics["orders"].GetPartitions() {
			in := map[string]bool{}
			for _, id := range part.GetReplicas() {
				in[rack[id]] = true
			}
			if len(in) != 3 {
				return fmt.Sprintf("partition %d is on brokers %v, in %d racks", part.GetPartition(), part.GetReplicas(), len(in))
			}
		}
		return ""
	})
	n := f.end()
	wantEach(t, readAll(t, cl, "orders"), n)
}
