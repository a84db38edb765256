package broker

import (
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// However many producers wait for the budget, each makes the broker hold one request and a window of what follows, and no more.
func TestWhatAProducerBeyondTheBudgetMakesTheBrokerHold(t *testing.T) {
	const producers = 8
	batch := makeBatch(t, 1, 900<<10, record.CodecNone)
	pool := &usedPool{}
	h := newHarness(t, harnessOptions{budget: 1, extra: []grpc.ServerOption{experimental.BufferPool(pool)}})
	h.rep.hold = true
	first := h.produce() // its request takes the budget and is not answered
	send(t, first, 1, part("t", 0, batch))
	<-h.rep.got
	for range producers {
		c := h.produce()
		go func() { // ends with the connection
			for id := uint64(1); ; id++ {
				if c.Send(&runnelv1.ProduceRequest{CorrelationId: id, Partitions: []*runnelv1.ProducePartition{part("t", 0, batch)}}) != nil {
					return
				}
			}
		}()
	}
	for range producers {
		<-h.budget.waiting
	}
	each := int64(len(batch)) + windowBytes
	most := producers * (each + 64<<10) // and the parts of two frames
	late := time.After(20 * time.Second)
	for pool.bytes.Load() < producers*each*8/10 { // the windows fill
		select {
		case <-late:
			t.Fatalf("only %d bytes are held: the producers do not ask for too much", pool.bytes.Load())
		default:
		}
	}
	if _, err := h.client.Metadata(h.ctx, &runnelv1.MetadataRequest{}); err != nil { // what was on its way before it is there
		t.Fatal(err)
	}
	if got := pool.most.Load(); got > most {
		t.Errorf("%d producers made the broker hold %d bytes, %d each: the limit is %d each", producers, got, got/producers, most/producers)
	}
}

// A consumer that never reads makes the broker hold a response that waits for the client's window, and the next one.
func TestWhatAConsumerThatNeverReadsMakesTheBrokerHold(t *testing.T) {
	const consumers = 8
	// Windows that do not grow, and less than a response: none is ever sent whole.
	h := newHarness(t, harnessOptions{dial: []grpc.DialOption{grpc.WithStaticStreamWindowSize(64 << 10), grpc.WithStaticConnWindowSize(16 << 20)}})
	for range 50 {
		h.rep.append(t, 1, 100<<10)
	}
	var made atomic.Int64
	h.rep.onTry = func(partition.FetchRequest) { made.Add(1) } // once a response: there is one partition
	for range consumers {
		h.fetch(64<<20, from(0, 0))
	}
	late := time.After(20 * time.Second)
	for made.Load() < 2*consumers {
		select {
		case <-late:
			t.Fatalf("only %d responses were made: the consumers do not ask for too much", made.Load())
		default:
		}
	}
	if _, err := h.client.Metadata(h.ctx, &runnelv1.MetadataRequest{}); err != nil {
		t.Fatal(err)
	}
	if n := made.Load(); n != 2*consumers {
		t.Errorf("%d consumers made the broker hold %d responses", consumers, n)
	}
}

// usedPool counts the bytes that are out.
type usedPool struct{ bytes, most atomic.Int64 }

func (p *usedPool) Get(n int) *[]byte {
	now := p.bytes.Add(int64(n))
	for most := p.most.Load(); now > most && !p.most.CompareAndSwap(most, now); most = p.most.Load() {
	}
	b := make([]byte, n)
	return &b
}

func (p *usedPool) Put(b *[]byte) { p.bytes.Add(-int64(cap(*b))) }
