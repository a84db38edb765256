package broker

import (
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// countedReplicas counts the partitions that are asked for.
type countedReplicas struct {
	replicas
	n int
}

func (c *countedReplicas) replica(topic string, n int32) (replica, *runnelv1.Error) {
	c.n++ // on the one goroutine that reads the stream
	return c.replicas.replica(topic, n)
}

// A producer that reads no answer is read no further than its answers may take memory, and holds nothing of the budget, which is
// for all. Once it reads them, it is served to the last request.
func TestWhatAProducerThatReadsNoAnswersMakesTheBrokerHold(t *testing.T) {
	const requests, each, most, window = 200, 100, 1000, 64 << 10
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{
			limits: Limits{UnansweredPartitions: most},
			dial:   []grpc.DialOption{grpc.WithStaticStreamWindowSize(window)}, // one that does not grow
		})
		counted := &countedReplicas{replicas: h.s.replicas}
		h.s.replicas = counted
		c := h.produce()
		var parts []*runnelv1.ProducePartition
		for range each {
			parts = append(parts, &runnelv1.ProducePartition{})
		}
		for i := range requests {
			send(t, c, uint64(i), parts...) // all of them fit the stream's window on the broker
		}
		synctest.Wait()
		// Each answer has more than 32 bytes: the window is full, and gRPC takes as much again and the answer that reaches beyond.
		sent := 2*window/32 + each
		if limit := most + each + sent; counted.n < most || counted.n > limit {
			t.Errorf("%d partitions were served to a client that reads no answer: the limit is %d", counted.n, limit)
		}
		if n := h.budget.inUse(); n != 0 {
			t.Errorf("it holds %d bytes of the budget", n)
		}
		for i := range requests {
			if r := must[*runnelv1.ProduceResponse](t)(c.Recv()); r.GetCorrelationId() != uint64(i) || len(r.GetResults()) != each {
				t.Fatalf("answer %d is %v", i, r)
			}
		}
	})
}
