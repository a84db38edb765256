package client

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/record"
)

// A broker may come back where another one was, and that one elsewhere: whoever answers at the old address is asked no more.
func TestBrokersThatHaveChangedPlacesAreFollowed(t *testing.T) {
	for _, hints := range []bool{true, false} {
		simulate(t, func(t *testing.T) {
			c := newFakeCluster(t, 2)
			c.hints = hints
			c.topic("t", 1, 2)
			cl := c.client()
			r, err := cl.NewReader("t", FromStart())
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			ctx := within(t, time.Minute)
			produce := func(when string) {
				for n := range int32(2) {
					began := time.Now()
					if err := cl.ProduceSync(ctx, &Record{Topic: "t", Partition: n, Value: []byte(when)}); err != nil {
						t.Fatalf("%s, partition %d: %v", when, n, err)
					}
					if took := time.Since(began); took > 2*time.Second {
						t.Errorf("%s, partition %d: acknowledged after %s", when, n, took)
					}
				}
			}
			produce("before")
			c.stop(1)
			c.stop(2)
			c.locked(func() { c.moved = map[int32]string{1: addr(2), 2: addr(1)}; c.revision++ })
			c.restart(1)
			c.restart(2)
			produce("after")
			got := 0
			for _, err := range r.Records(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				if got++; got == 4 {
					break
				}
			}
		})
	}
}

// A host that is gone sends no reset: what was sent to it waits for an answer that never comes, although its broker is back elsewhere and
// leads again, in the same term as far as the client knows.
func TestWhatWaitsAtAnOldAddressIsSentToTheNewOne(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.topic("t", 1)
		c.judge = func(int32, string, int32, record.Header) verdict { return verdict{hangs: c.moved == nil} }
		cl := c.client()
		time.AfterFunc(time.Second, func() {
			c.locked(func() { c.moved = map[int32]string{1: "broker-1-again:1"}; c.revision++ })
		})
		began := time.Now()
		if err := cl.ProduceSync(within(t, time.Minute), rec("t", 0, "a")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("acknowledged after %s", took)
		}
		wantValues(t, c.values("t", 0), "a")
	})
}

// A connection is made when a name leads to another host than it does a moment later, or a SYN is sent again after the address has another
// owner. On such a connection the wrong broker answers for as long as it lives.
func TestAConnectionToTheWrongBrokerIsGivenUp(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.topic("t", 1)
		c.strays = map[string]int32{addr(1): 2}
		cl := c.client()
		ctx := within(t, 20*time.Second)
		began := time.Now()
		if err := cl.ProduceSync(ctx, rec("t", 0, "a")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("acknowledged after %s", took)
		}
		if len(c.strays) > 0 {
			t.Fatal("no connection led to the wrong broker")
		}
		// FromStart asks for offsets before it reads, FromOffset does not.
		for _, from := range []ReaderOption{FromStart(), FromOffset(0)} {
			c.locked(func() { c.strays = map[string]int32{addr(1): 2} })
			r, err := c.client().NewReader("t", from)
			if err != nil {
				t.Fatal(err)
			}
			for got, err := range r.Records(ctx) {
				if err != nil || string(got.Value) != "a" {
					t.Fatalf("%v, %v", got, err)
				}
				break
			}
			r.Close()
		}
		wantValues(t, c.values("t", 0), "a")
	})
}

// An address may have gone to a broker of another cluster, which has a topic of the same name.
func TestAnotherClustersAnswersAreNotTaken(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.topic("t", 1)
		cl := c.client()
		ctx := within(t, 20*time.Second)
		if err := cl.ProduceSync(ctx, rec("t", 0, "a")); err != nil {
			t.Fatal(err)
		}
		other := c.client()
		if _, err := other.ListOffsets(ctx, "t", AtEnd()); err != nil { // it knows its cluster
			t.Fatal(err)
		}
		c.locked(func() { c.brokers[1].foreign = true })
		done := make(chan error, 1)
		go func() { done <- other.ProduceSync(ctx, rec("t", 0, "b")) }()
		select {
		case err := <-done:
			t.Fatalf("another cluster's answer was taken: %v", err)
		case <-time.After(5 * time.Second):
		}
		c.locked(func() { c.brokers[1].foreign = false })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// A reader at an old address would wait for as long as the old host's silence lasts.
func TestAReaderLeavesAnOldAddress(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.topic("t", 1)
		cl := c.client()
		ctx := within(t, time.Minute)
		if err := cl.ProduceSync(ctx, rec("t", 0, "a")); err != nil {
			t.Fatal(err)
		}
		c.locked(func() { c.mute = true })
		r, err := cl.NewReader("t", FromStart())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		time.AfterFunc(time.Second, func() {
			c.locked(func() { c.mute, c.moved = false, map[int32]string{1: "broker-1-again:1"}; c.revision++ })
			cl.refresh.trigger()
		})
		began := time.Now()
		for got, err := range r.Records(ctx) {
			if err != nil || string(got.Value) != "a" || time.Since(began) > 3*time.Second {
				t.Fatalf("%v, %v after %s", got, err, time.Since(began))
			}
			break
		}
	})
}
