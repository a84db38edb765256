package client

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// What the client adds to an outage is in proportion to it: after the next leader is elected a record is acknowledged within a
// fifth of the time that took, wherever in its pauses the partition was.
func TestTheNextLeaderIsFoundInProportionToTheOutage(t *testing.T) {
	for _, outage := range []time.Duration{15, 35, 65, 110, 190, 260, 400} {
		outage *= time.Millisecond
		t.Run(fmt.Sprint(outage), func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				c := newFakeCluster(t, 3)
				c.topic("t", 1)
				cl := c.client()
				ctx := within(t, time.Minute)
				if err := cl.ProduceSync(ctx, &Record{Topic: "t", Value: []byte("before")}); err != nil {
					t.Fatal(err)
				}
				c.stop(1)
				began := time.Now()
				time.AfterFunc(outage, func() { c.lead("t", 0, 2) })
				if err := cl.ProduceSync(ctx, &Record{Topic: "t", Value: []byte("after")}); err != nil {
					t.Fatal(err)
				}
				if added := time.Since(began) - outage; added > max(outage/pollShare, pollMin)+10*time.Millisecond {
					t.Errorf("acknowledged %s after the election, which took %s", added, outage)
				}
			})
		})
	}
}

// A partition that had no leader when the client last looked, and nothing to send, is looked at again when it has.
func TestAnIdlePartitionsLeaderIsLookedForWhenARecordComes(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.topic("t", 1, noLeader)
		cl := c.client()
		ctx := within(t, time.Minute)
		if err := cl.ProduceSync(ctx, &Record{Topic: "t", Partition: 0, Value: []byte("known")}); err != nil {
			t.Fatal(err)
		}
		wait(ctx, time.Second)
		c.lead("t", 1, 2)
		began := time.Now()
		if err := cl.ProduceSync(ctx, &Record{Topic: "t", Partition: 1, Value: []byte("first")}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("acknowledged after %s: nobody looked for the leader", took)
		}
	})
}

// A broker that hangs reads nothing: the client's goroutine that sends to it waits for room, while the partition has another leader.
func TestAPartitionLeavesABrokerThatReadsNothing(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.topic("t", 1)
		c.stop(1)
		c.locked(func() { c.brokers[1].deaf = true })
		c.restart(1, grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(1<<20))
		time.AfterFunc(time.Second, func() { c.lead("t", 0, 2) })
		var rs []*Record
		for range 10 {
			rs = append(rs, &Record{Topic: "t", Value: make([]byte, 900<<10)})
		}
		began := time.Now()
		if err := c.client().ProduceSync(within(t, time.Minute), rs...); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("acknowledged after %s", took)
		}
		if n := len(c.values("t", 0)); n != len(rs) {
			t.Errorf("%d records were written", n)
		}
	})
}
