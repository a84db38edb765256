package broker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// memberlist's Shutdown does not wait for its own loops: one in the middle of a probe ends with that probe's time-out,
		// which on a busy machine is longer than goleak waits.
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).triggerFunc"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).pushPullTrigger"),
	)
}

// patient gives a context that only a hanging test reaches the end of.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, c *brokertest.Cluster, opts ...client.Option) *client.Client {
	t.Helper()
	cl, err := client.New(c.Seeds(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Errorf("the client does not close: %v", err)
		}
	})
	return cl
}

func create(t *testing.T, cl *client.Client, name string, partitions, rf int32) {
	t.Helper()
	_, err := cl.Admin().CreateTopic(patient(t), &runnelv1.CreateTopicRequest{Name: name, Partitions: partitions, ReplicationFactor: rf})
	if err != nil {
		t.Fatalf("topic %s: %v", name, err)
	}
}

// produce sends n records and waits for all acknowledgements.
func produce(t *testing.T, cl *client.Client, topic string, first, n int) {
	t.Helper()
	ctx := patient(t)
	errs := make(chan error, n)
	for i := first; i < first+n; i++ {
		cl.Produce(ctx, &client.Record{Topic: topic, Partition: -1, Key: fmt.Append(nil, i), Value: fmt.Append(nil, "value-", i)},
			func(_ *client.Record, err error) { errs <- err })
	}
	for range n {
		if err := <-errs; err != nil {
			t.Fatalf("a record was not acknowledged: %v", err)
		}
	}
}

// readAll reads a topic to its end and counts each value.
func readAll(t *testing.T, cl *client.Client, topic string) map[string]int {
	t.Helper()
	r, err := cl.NewReader(topic, client.FromStart(), client.ToEnd())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := map[string]int{}
	for rec, err := range r.Records(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		got[string(rec.Value)]++
	}
	return got
}

func wantEach(t *testing.T, got map[string]int, n int) {
	t.Helper()
	if len(got) != n {
		t.Errorf("%d different records, want %d", len(got), n)
	}
	for i := range n {
		if c := got[fmt.Sprint("value-", i)]; c != 1 {
			t.Fatalf("record %d is there %d times", i, c)
		}
	}
}

func TestOneBrokerIsAWorkingCluster(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1)
	cl := dial(t, c)
	create(t, cl, "orders", 4, 1)
	produce(t, cl, "orders", 0, 1000)
	wantEach(t, readAll(t, cl, "orders"), 1000)
}

func TestThreeBrokersProduceAndFetch(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 12, 3)
	produce(t, cl, "orders", 0, 5000)
	wantEach(t, readAll(t, cl, "orders"), 5000)
}

// A client whose broker dies before it answers asks another one.
func TestACreationThatIsSentAgainToAnyBrokerFindsItsTopic(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	var id uint64
	for _, addr := range c.Seeds() {
		r, err := rawDial(t, addr).CreateTopic(patient(t), &runnelv1.CreateTopicRequest{Name: "orders", Partitions: 2, RequestId: "one"})
		if err != nil || r.GetPartitions() != 2 || r.GetReplicationFactor() != 3 || id != 0 && r.GetId() != id {
			t.Fatalf("%v, %v; before that id %d", r, err, id)
		}
		id = r.GetId()
	}
	_, err := rawDial(t, c.Seeds()[0]).CreateTopic(patient(t), &runnelv1.CreateTopicRequest{Name: "orders", Partitions: 2, RequestId: "another"})
	if e := runnelv1.FromStatus(err); e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS {
		t.Fatalf("another creation: %v", err)
	}
}

func TestAckedRecordsSurviveTheLeadersDeath(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 6, 3)
	for round := range 3 {
		produce(t, cl, "orders", round*1000, 500)
		n := 1 + round
		c.Crash(n)
		produce(t, cl, "orders", round*1000+500, 500)
		c.Restart(n)
		c.WaitReady()
	}
	wantEach(t, readAll(t, cl, "orders"), 3000)
}

func TestACleanStopHandsOver(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 6, 3)
	for n := 1; n <= 3; n++ {
		produce(t, cl, "orders", (n-1)*100, 50)
		c.StopBroker(n)
		produce(t, cl, "orders", (n-1)*100+50, 50)
		c.Restart(n)
		c.WaitReady()
	}
	wantEach(t, readAll(t, cl, "orders"), 300)
}

func TestEverythingRestartedAtOnceKeepsEverything(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 6, 3)
	for round := range 3 {
		produce(t, cl, "orders", round*500, 500)
		for n := 1; n <= 3; n++ {
			c.Crash(n)
		}
		for n := 1; n <= 3; n++ {
			c.Restart(n)
		}
		c.WaitReady()
	}
	wantEach(t, readAll(t, cl, "orders"), 1500)
}

func TestABrokerThatComesLaterJoins(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	c.Add()
	c.WaitReady()
	create(t, cl, "wide", 4, 4)
	produce(t, cl, "wide", 0, 100)
	wantEach(t, readAll(t, cl, "wide"), 100)
}

func TestABrokerJoinsWhileTheFounderIsDown(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	founder := c.ByID(1)
	cl := dial(t, c)
	create(t, cl, "orders", 3, 3)
	c.Crash(founder)
	c.Add()
	c.WaitReady()
	create(t, cl, "later", 3, 3)
	produce(t, cl, "later", 0, 100)
	wantEach(t, readAll(t, cl, "later"), 100)
}

func TestABrokerThatWasAwayKnowsTopicsMadeMeanwhile(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	c.Crash(2)
	create(t, cl, "meanwhile", 3, 2)
	c.Restart(2)
	c.WaitReady()
	md, err := rawDial(t, c.Config(2).Listen).Metadata(patient(t), &runnelv1.MetadataRequest{Topics: []string{"meanwhile"}})
	if err != nil || md.GetTopics()[0].GetError() != nil || len(md.GetTopics()[0].GetPartitions()) != 3 {
		t.Fatalf("%v %v", md, err)
	}
}

func TestRule29LeaderChangesNeverReachTheControllersLog(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 12, 3)
	controller := c.ByID(1)
	state := func() *runnelv1.MetadataResponse {
		md, err := rawDial(t, c.Config(controller).Listen).Metadata(patient(t), &runnelv1.MetadataRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return md
	}
	produce(t, cl, "orders", 0, 100) // the producer's id comes from the controller, before the count
	before := state()
	victim := 1 + controller%3
	c.Crash(victim)
	produce(t, cl, "orders", 100, 100)
	if after := state(); after.GetRevision() != before.GetRevision() {
		t.Errorf("revision %d became %d when leaders changed", before.GetRevision(), after.GetRevision())
	}
	wantEach(t, readAll(t, cl, "orders"), 200)
}
