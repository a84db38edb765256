package broker

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/record"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Partitions finds the replica of a partition on this broker.
type Partitions interface {
	// Partition answers UNKNOWN_TOPIC, UNKNOWN_PARTITION, or NOT_LEADER with a hint if this broker has no replica of it.
	Partition(topic string, n int32) (*partition.Partition, *runnelv1.Error)
}

// Cluster is what this broker knows of the cluster.
type Cluster interface {
	// State is the newest applied state of the controller; never nil, never changed.
	State() *placement.State
	// Leader is who leads a group, and in which term, as last heard.
	Leader(group uint64) (broker int32, term uint64, ok bool)
	// Alive tells whether a broker's heartbeats arrive. It is true for this broker itself.
	Alive(broker int32) bool
	// ControllerID is the broker that leads the controller group, 0 if unknown.
	ControllerID() int32
}

// Producers gives producer ids.
type Producers interface {
	// NextProducerID gives an id that no producer of the cluster ever got.
	NextProducerID(ctx context.Context) (int64, error)
}

// Config is what a Server needs.
type Config struct {
	Partitions Partitions
	Cluster    Cluster
	Producers  Producers
	BrokerID   int32
	// Budget bounds the bytes of produce requests in flight, over the whole broker.
	Budget *partition.Budget
	Env    *env.Env
	Log    *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	Limits     Limits
}

// Server implements runnelv1.BrokerServer. Make it with New, end it with Stop.
type Server struct {
	runnelv1.UnimplementedBrokerServer

	replicas  replicas
	cluster   Cluster
	producers Producers
	id        int32
	budget    budget
	clock     env.Clock
	log       *slog.Logger
	limits    Limits
	metrics   *metrics

	chunks *chunkPool
	// polls bounds the bytes that long polls have read and gRPC has not encoded yet.
	polls budget
	// decompress holds a token for each batch being decompressed.
	decompress chan struct{}

	stopOnce sync.Once
	stopping chan struct{} // closed by Stop
	// readers are the reader goroutines of streams; each ends soon after its stream does.
	readers sync.WaitGroup
}

// replica is what the calls need of a partition; *partition.Partition is one.
type replica interface {
	Produce(batch []byte, h record.Header, done func(partition.ProduceResult))
	Limits() record.Limits
	TryFetch(r partition.FetchRequest, dst []byte) (partition.FetchResult, error)
	WaitBeyond(offset int64, f func()) (cancel func())
	StartOffset() int64
	HighWatermark() int64
	EndOffset(ctx context.Context) (int64, error)
	OffsetAtTime(ctx context.Context, ms int64) (int64, error)
	Status() partition.Status
}

// ownedProducer is a replica that takes a batch with record.EnvelopeLen bytes of headroom before it, which saves the
// copy that Produce makes.
type ownedProducer interface {
	ProduceOwned(buf []byte, h record.Header, done func(partition.ProduceResult))
}

// replicas finds replicas; the seam for tests.
type replicas interface {
	replica(topic string, n int32) (replica, *runnelv1.Error)
}

type localReplicas struct{ p Partitions }

func (l localReplicas) replica(topic string, n int32) (replica, *runnelv1.Error) {
	p, e := l.p.Partition(topic, n)
	if e != nil {
		return nil, e
	}
	return p, nil
}

// replica finds this broker's replica of a partition.
func (s *Server) replica(topic string, n int32) (replica, *runnelv1.Error) {
	rep, e := s.replicas.replica(topic, n)
	if e.GetReason() == reasonUnknownTopic {
		return nil, unknownTopic(topic) // in the words of Metadata
	}
	return rep, e
}

// New makes the service. Register it with runnelv1.RegisterBrokerServer, on a server made by NewGRPCServer, whose codec
// saves copies (any other works too).
func New(c Config) *Server { return newServer(c, localReplicas{c.Partitions}, c.Budget) }

func newServer(c Config, r replicas, b budget) *Server {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := c.Limits.withDefaults()
	return &Server{
		replicas: r, cluster: c.Cluster, producers: c.Producers, id: c.BrokerID, budget: b, clock: c.Env.Clock,
		log: log.With("component", "rpc.broker"), limits: l, metrics: newMetrics(c.Registerer),
		// A little more than a response: its last batch may reach beyond.
		chunks:     newChunkPool(l.ResponseBytes + l.ResponseBytes/4),
		polls:      partition.NewBudget(l.FetchOnceHeldBytes),
		decompress: make(chan struct{}, l.Decompressions), stopping: make(chan struct{}),
	}
}

// Stop ends all streams: fetch streams at once, produce streams when their requests in flight are answered or after
// Limits.StopGrace. It waits for them until ctx ends, but no longer than twice the grace: a stream whose client does not
// read ends only with its connection, which the gRPC server closes next. It answers an error if there are such streams.
// Calls after it are answered with STOPPING.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() { close(s.stopping) })
	done, late := make(chan struct{}), make(chan struct{})
	go func() { // ends with the last reader, which ends with its connection at the latest
		s.readers.Wait()
		close(done)
	}()
	t := s.clock.AfterFunc(2*s.limits.StopGrace, func() { close(late) })
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-late:
		return errors.New("some streams did not end, their clients do not read: stop the gRPC server to close their connections")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}
