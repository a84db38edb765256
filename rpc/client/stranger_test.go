package client

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/partition/record"
)

// astray is a client of one cluster whose addresses lead to another cluster for a while.
type astray struct {
	*Client
	ours, theirs *fakeCluster
	now          bool // guarded by ours.mu
}

// goAstray makes both clusters, with topic t of one partition, and a client that knows its own and has produced "before".
func goAstray(t *testing.T) *astray {
	t.Helper()
	a := &astray{ours: newFakeCluster(t, 1), theirs: newFakeCluster(t, 1)}
	a.ours.topic("t", 1)
	a.theirs.topic("t", 1)
	a.theirs.locked(func() { a.theirs.brokers[1].foreign = true })
	a.Client = a.ours.client(WithDialOptions(grpc.WithContextDialer(a.dial)))
	if err := a.ProduceSync(within(t, time.Second), rec("t", 0, "before")); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *astray) dial(ctx context.Context, address string) (net.Conn, error) {
	var now bool
	a.ours.locked(func() { now = a.now })
	if now {
		return a.theirs.dial(ctx, address)
	}
	return a.ours.dial(ctx, address)
}

// leave breaks the connections; those that are made within the next second lead to the other cluster.
func (a *astray) leave(t *testing.T) {
	a.ours.locked(func() { a.now = true })
	a.ours.stop(1)
	wait(t.Context(), 100*time.Millisecond)
	time.AfterFunc(time.Second, func() {
		a.ours.locked(func() { a.now = false })
		a.ours.restart(1)
	})
}

// Several batches are on their way to another cluster, where an id as the producer's has written too, and are answered at once.
func TestNoneOfAnotherClustersAnswersIsTaken(t *testing.T) {
	simulate(t, func(t *testing.T) {
		a := goAstray(t)
		var at time.Time // when what came is committed, all together
		a.theirs.locked(func() {
			a.theirs.topics["t"][0].producers[a.prod.ids.id] = &fakeProducer{next: 1}
			a.theirs.judge = func(int32, string, int32, record.Header) verdict {
				if time.Until(at) <= 0 {
					at = time.Now().Add(50 * time.Millisecond)
				}
				return verdict{delay: time.Until(at)}
			}
		})
		a.leave(t)
		var o outcome
		spaced(t, a.Client, &o, 4)
		if err := a.Flush(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		if len(a.theirs.values("t", 0)) < 2 {
			t.Fatal("fewer than two batches went astray")
		}
		wantValues(t, o.acked, "0", "1", "2", "3")
		wantValues(t, a.ours.values("t", 0), "before", "0", "1", "2", "3")
	})
}

// What a reader is sent by another cluster comes in many responses.
func TestNoneOfAnotherClustersRecordsIsRead(t *testing.T) {
	simulate(t, func(t *testing.T) {
		a := goAstray(t)
		a.theirs.fill("t", 0, 10, 5<<10, record.CodecNone)
		a.leave(t)
		for r, err := range reader(t, a.Client, "t", FromOffset(0)).Records(within(t, time.Minute)) {
			if err != nil || r.Offset != 0 || string(r.Value) != "before" {
				t.Fatalf("%v, %v", r, err)
			}
			break
		}
	})
}

// Ids of two clusters collide: a first batch under another cluster's id would be answered as one that was written before.
func TestAnotherClustersProducerIDIsNotTaken(t *testing.T) {
	for turn := range 3 { // whichever broker is asked first
		simulate(t, func(t *testing.T) {
			ours, theirs := newFakeCluster(t, 2), newFakeCluster(t, 2)
			ours.topic("t", 1)
			theirs.locked(func() { theirs.brokers[2].foreign = true })
			ctx := within(t, time.Minute)
			if err := ours.client().ProduceSync(ctx, rec("t", 0, "another producer's")); err != nil {
				t.Fatal(err)
			}
			cl := ours.client(WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				if address == addr(2) {
					return theirs.dial(ctx, address)
				}
				return ours.dial(ctx, address)
			})))
			cl.meta.clusterID = "fake" // it has known its cluster for long
			cl.refresh.turn = turn
			if err := cl.ProduceSync(ctx, rec("t", 0, "a")); err != nil {
				t.Fatal(err)
			}
			wantValues(t, ours.values("t", 0), "another producer's", "a")
		})
	}
}

func TestAProducerIDOfABrokerThatDoesNotTellItsClusterIsTaken(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.brokers[1].old = true
		cl := c.client()
		if err := cl.ProduceSync(within(t, time.Second), rec("t", 0, "a")); err != nil {
			t.Fatal(err)
		}
		wantValues(t, c.values("t", 0), "a")
	})
}
