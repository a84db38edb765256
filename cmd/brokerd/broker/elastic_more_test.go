package broker_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// move moves partition 0 of "orders" and waits until it is there.
func move(t *testing.T, c *brokertest.Cluster, cl *client.Client, to []int32) {
	t.Helper()
	if _, err := cl.Admin().MovePartition(patient(t), &runnelv1.MovePartitionRequest{Topic: "orders", Brokers: to}); err != nil {
		t.Fatal(err)
	}
	var p *runnelv1.PartitionDescription
	c.Eventually(func() bool {
		p = partitionOf(t, cl, "orders", 0)
		return p.GetMove() == nil && slices.Equal(p.GetReplicas(), to)
	}, func() string { return fmt.Sprintf("to %v: %v", to, p) })
}

func TestTheReplicationFactorGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	cl := dial(t, c)
	create(t, cl, "orders", 4, 1)
	produce(t, cl, "orders", 0, 1000)
	f := startFlow(t, cl, "orders", 1000)
	for _, rf := range []int32{3, 2, 1} {
		if _, err := cl.Admin().AlterTopic(patient(t), &runnelv1.AlterTopicRequest{Name: "orders", ReplicationFactor: rf}); err != nil {
			t.Fatal(err)
		}
		settle(t, c, cl, func(p *placed) string {
			for _, part := range p.topics["orders"].GetPartitions() {
				if len(part.GetReplicas()) != int(rf) {
					return fmt.Sprintf("partition %d is on %v, %d replicas were asked for", part.GetPartition(), part.GetReplicas(), rf)
				}
			}
			return ""
		})
	}
	n := f.end()
	wantEach(t, readAll(t, cl, "orders"), n)
}

func TestPartitionsAreAddedWhileRecordsFlow(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	cl := dial(t, c)
	create(t, cl, "orders", 2, 3)
	f := startFlow(t, cl, "orders", 0)
	if _, err := cl.Admin().AlterTopic(patient(t), &runnelv1.AlterTopicRequest{Name: "orders", Partitions: 6}); err != nil {
		t.Fatal(err)
	}
	settle(t, c, cl, func(p *placed) string {
		if n := len(p.topics["orders"].GetPartitions()); n != 6 {
			return fmt.Sprintf("%d partitions", n)
		}
		return ""
	})
	n := f.end()
	produce(t, cl, "orders", n, 100)
	wantEach(t, readAll(t, cl, "orders"), n+100)
}

func TestAQuarantinedReplicaIsReplacedByItself(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	cl := dial(t, c)
	create(t, cl, "orders", 1, 3)
	produce(t, cl, "orders", 0, 1000)
	c.Crash(2)
	// A replica that meta.db knows and whose folder is empty is quarantined (rule 1).
	lost := partitionFolder(t, c, 2)
	if err := os.RemoveAll(lost); err != nil {
		t.Fatal(err)
	}
	c.Restart(2)
	c.Eventually(func() bool {
		p, err := look(t, cl)
		return err == nil && p.uneven() == "" && folders(filepath.Dir(lost)) >= 2
	}, func() string { return "the quarantined replica was not replaced" })
	if _, err := os.Stat(lost); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the quarantined replica's folder is there again: %v", err)
	}
	c.WaitReady()
	wantEach(t, readAll(t, cl, "orders"), 1000)
}

// partitionFolder is the folder of the only partition's replica on broker n.
func partitionFolder(t *testing.T, c *brokertest.Cluster, n int) string {
	t.Helper()
	dir := filepath.Join(c.Config(n).DataDir, "replicas")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	newest := ""
	for _, e := range entries { // the controller's is the older
		if newest == "" || e.Name() > newest {
			newest = e.Name()
		}
	}
	return filepath.Join(dir, newest)
}

func TestRule30ALostMajorityIsGivenUpByHandOnly(t *testing.T) {
	t.Parallel()
	c := elastic(t, 5, never)
	cl := dial(t, c)
	create(t, cl, "orders", 1, 3)
	produce(t, cl, "orders", 0, 1000)
	on := partitionOf(t, cl, "orders", 0).GetReplicas()
	for _, id := range on[1:] {
		c.Crash(c.ByID(id))
	}
	ask := &runnelv1.RecoverPartitionRequest{Topic: "orders"}
	var told *runnelv1.RecoverPartitionResponse
	var last error
	c.Eventually(func() bool {
		told, last = cl.Admin().RecoverPartition(patient(t), ask)
		return last == nil
	}, func() string { return last.Error() })
	if told.GetRecovered() || told.GetKept().GetBroker() != on[0] || len(told.GetLost()) != 2 {
		t.Fatalf("it would keep %v and lose %v", told.GetKept(), told.GetLost())
	}
	ask.Keep, ask.AcceptDataLoss, ask.Note = on[0], true, "two disks burnt"
	for _, r := range told.GetLost() {
		ask.Lost = append(ask.Lost, r.GetReplica())
	}
	c.Eventually(func() bool { // they have to be silent for half a minute
		_, last = cl.Admin().RecoverPartition(patient(t), ask)
		return last == nil
	}, func() string { return last.Error() })
	// One replica goes on, and others are made of it by itself.
	settle(t, c, cl, func(p *placed) string {
		if n := len(p.topics["orders"].GetPartitions()[0].GetReplicas()); n != 3 {
			return fmt.Sprintf("%d replicas", n)
		}
		return ""
	})
	produce(t, cl, "orders", 1000, 100)
	got := readAll(t, cl, "orders")
	for i := 1000; i < 1100; i++ {
		if got[fmt.Sprint("value-", i)] != 1 {
			t.Fatalf("record %d, sent after the recovery, is there %d times", i, got[fmt.Sprint("value-", i)])
		}
	}
}

func TestLeadersGoBackToWhereTheyArePreferred(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never, brokertest.Edit(func(_ int, c *broker.Config) { c.MuteAfterReturn = 100 * time.Millisecond }))
	cl := dial(t, c)
	create(t, cl, "orders", 6, 3)
	f := startFlow(t, cl, "orders", 0)
	c.StopBroker(2)
	c.Restart(2)
	c.WaitReady()
	settle(t, c, cl, func(p *placed) string {
		for _, part := range p.topics["orders"].GetPartitions() {
			if part.GetLeader() != part.GetReplicas()[0] {
				return fmt.Sprintf("partition %d is led by %d, preferred is %d", part.GetPartition(), part.GetLeader(), part.GetReplicas()[0])
			}
		}
		return ""
	})
	n := f.end()
	wantEach(t, readAll(t, cl, "orders"), n)
}
