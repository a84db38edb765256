package broker_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// flip changes a bit of a text in a segment of a replica, as a disk does that lies.
func flip(t *testing.T, folder string, text []byte) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(folder, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range segments {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(b, text)
		if at < 0 {
			continue
		}
		b[at] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%q is in none of %v", text, segments)
}

// replicaOn is the id of the replica of partition 0 of "orders" on a broker, as another one knows it.
func replicaOn(t *testing.T, c *brokertest.Cluster, broker int32) placement.Replica {
	t.Helper()
	r, ok := c.Broker(1).State().Topics["orders"].Partitions[0].On(broker)
	if !ok {
		t.Fatalf("broker %d has no replica", broker)
	}
	return r
}

func TestAReplicaWhoseDiskLiesIsReplacedAndNoRecordIsLost(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	cl := dial(t, c)
	create(t, cl, "orders", 1, 3)
	produce(t, cl, "orders", 0, 1000)
	id := c.Broker(2).ID()
	old := replicaOn(t, c, id)
	c.StopBroker(2)
	flip(t, partitionFolder(t, c, 2), []byte("value-500"))
	c.Restart(2)
	c.WaitReady()
	// Nobody reads there until it leads.
	var last error
	c.Eventually(func() bool {
		_, last = cl.Admin().TransferLeadership(patient(t), &runnelv1.TransferLeadershipRequest{Topic: "orders", To: id})
		return last == nil && partitionOf(t, cl, "orders", 0).GetLeader() == id
	}, func() string { return fmt.Sprintf("broker %d leads: %v", id, last) })
	wantEach(t, readAll(t, cl, "orders"), 1000)
	settle(t, c, cl, func(*placed) string {
		if now := replicaOn(t, c, id); now.ID == old.ID {
			return fmt.Sprintf("broker %d still has replica %d", id, now.ID)
		}
		return ""
	})
	wantFolders(t, c, 2, 2)
	// What it has now is right: it leads, and all is read there.
	c.Eventually(func() bool {
		_, last = cl.Admin().TransferLeadership(patient(t), &runnelv1.TransferLeadershipRequest{Topic: "orders", To: id})
		return last == nil && partitionOf(t, cl, "orders", 0).GetLeader() == id
	}, func() string { return fmt.Sprintf("broker %d leads: %v", id, last) })
	wantEach(t, readAll(t, cl, "orders"), 1000)
	if now := partitionOf(t, cl, "orders", 0); now.GetLeader() != id {
		t.Errorf("broker %d leads no more: %v", id, now)
	}
}

// says wants a line of the plan to hold a text.
func says(p *placed, text string) string {
	if slices.ContainsFunc(p.plan.GetReasons(), func(r string) bool { return strings.Contains(r, text) }) {
		return ""
	}
	return fmt.Sprintf("%q is in none of %q", text, p.plan.GetReasons())
}

func TestReplicasShareARackOnlyWhereThereAreTooFewAndThePlanSaysSo(t *testing.T) {
	t.Parallel()
	racks := []string{"a", "a", "b", "b"}
	c := elastic(t, 2, never, brokertest.Edit(func(n int, c *broker.Config) { c.Rack = racks[n-1] }))
	cl := dial(t, c)
	create(t, cl, "pairs", 4, 2)
	settle(t, c, cl, func(p *placed) string { return says(p, "1 racks for up to 2 replicas") })
	c.Add()
	c.Add()
	c.WaitReady()
	create(t, cl, "triples", 4, 3)
	apart := func(p *placed) string {
		rack := map[int32]string{}
		for n := 1; n <= 4; n++ {
			rack[c.Broker(n).ID()] = racks[n-1]
		}
		for name, topic := range p.topics {
			for _, part := range topic.GetPartitions() {
				in := map[string]bool{}
				for _, id := range part.GetReplicas() {
					in[rack[id]] = true
				}
				if len(in) != 2 {
					return fmt.Sprintf("%s/%d is on brokers %v, in %d of 2 racks", name, part.GetPartition(), part.GetReplicas(), len(in))
				}
			}
		}
		return says(p, "2 racks for up to 3 replicas: some racks hold more than one replica of a partition")
	}
	settle(t, c, cl, apart)
	// Two hosts change places: nothing is uneven but the racks.
	racks = []string{"a", "b", "a", "b"}
	for _, n := range []int{2, 3} {
		c.StopBroker(n)
		c.Edit(n, func(cfg *broker.Config) { cfg.Rack = racks[n-1] })
		c.Restart(n)
		c.WaitReady()
	}
	settle(t, c, cl, apart)
}
