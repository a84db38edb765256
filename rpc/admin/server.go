package admin

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// How long calls wait.
const (
	changeWait = 10 * time.Second // for the controller, and after CreateTopic for the partitions' leaders
	// answerTime is what is kept of the client's time for an answer that says what is missing; at most a quarter of it.
	answerTime = 500 * time.Millisecond
	whyWait    = 250 * time.Millisecond // of answerTime, for other brokers' words on why there is no leader
	askWait    = 2 * time.Second        // for other brokers' answers to "partition.status"
	viewWait   = 2 * time.Second        // for this broker's own view after a change
)

// Controller is the way to change the cluster.
type Controller interface {
	// Do has the controller's leader carry out a request, wherever it is. Errors are *runnelv1.Error.
	Do(ctx context.Context, r controller.Request) (controller.Response, error)
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
	// Changed gives a channel that is closed at the next change of State or Leader. Take it before looking. A Signal
	// does that.
	Changed() <-chan struct{}
}

// Partitions finds this broker's replicas.
type Partitions interface {
	// Partition answers with an error if this broker has no replica of the partition.
	Partition(topic string, n int32) (*partition.Partition, *runnelv1.Error)
}

// Config is what a Server needs.
type Config struct {
	Controller Controller
	Cluster    Cluster
	Partitions Partitions
	// Caller asks other brokers.
	Caller controller.Caller
	// HTTPAddresses tells, by broker id, where the brokers that are seen serve metrics and health; nil if nobody knows.
	HTTPAddresses func() map[int32]string
	BrokerID      int32
	Env           *env.Env
	Log           *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Settings are those of this broker, as they are in force. Nil: it has none to tell.
	Settings func() []Setting
}

// Server implements runnelv1.AdminServer.
type Server struct {
	runnelv1.UnimplementedAdminServer

	controller Controller
	cluster    Cluster
	local      statuses
	caller     controller.Caller
	http       func() map[int32]string
	id         int32
	clock      env.Clock
	log        *slog.Logger
	metrics    *metrics
	settings   func() []Setting
}

// statuses finds the status of this broker's replicas; the seam for tests.
type statuses interface {
	status(topic string, n int32) (partition.Status, *runnelv1.Error)
}

type localStatuses struct{ p Partitions }

func (l localStatuses) status(topic string, n int32) (partition.Status, *runnelv1.Error) {
	p, e := l.p.Partition(topic, n)
	if e != nil {
		return partition.Status{}, e
	}
	return p.Status(), nil
}

// New makes the service. It has no goroutines of its own and needs no end.
func New(c Config) *Server { return newServer(c, localStatuses{c.Partitions}) }

func newServer(c Config, local statuses) *Server {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	settings, http := c.Settings, c.HTTPAddresses
	if settings == nil {
		settings = func() []Setting { return nil }
	}
	if http == nil {
		http = func() map[int32]string { return nil }
	}
	return &Server{
		controller: c.Controller, cluster: c.Cluster, local: local, caller: c.Caller, http: http, id: c.BrokerID,
		clock: c.Env.Clock, log: log.With("component", "rpc.admin"), metrics: newMetrics(c.Registerer), settings: settings,
	}
}

// timeUp is a deadline set here, in words that cannot be taken for a client that got no answer.
type timeUp struct{}

func (timeUp) Error() string        { return "the time is over" }
func (timeUp) Is(target error) bool { return target == context.DeadlineExceeded }

// within bounds ctx by the broker's clock.
func (s *Server) within(ctx context.Context, d time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := s.clock.AfterFunc(d, func() { cancel(timeUp{}) })
	return ctx, func() {
		t.Stop()
		cancel(context.Canceled)
	}
}

// patience is how long a change may take, so that the client hears how far it got instead of its own deadline.
func (s *Server) patience(ctx context.Context) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return changeWait
	}
	left := end.Sub(s.clock.Now())
	return min(changeWait, left-min(answerTime, left/4))
}

// until waits for a view of the cluster in which done holds. It answers false if ctx ended first.
func (s *Server) until(ctx context.Context, done func() bool) bool {
	for {
		changed := s.cluster.Changed()
		if done() {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return done()
		}
	}
}

// begin counts a call. It refuses all on a broker that was removed: what it knows of the cluster stays as it was then, and
// others know better.
func (s *Server) begin(api string) error {
	s.metrics.requests.WithLabelValues(api).Inc()
	if st := s.cluster.State(); st.Brokers[s.id] == nil && s.id < st.NextBroker {
		return s.fail(api, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
			"broker %d was removed from the cluster and knows nothing of it any more: ask another one", s.id))
	}
	return nil
}

// fail makes the answer of a failed call and counts it.
func (s *Server) fail(api string, err error) error {
	e := runnelv1.AsError(err)
	s.metrics.errors.WithLabelValues(api, strings.ToLower(strings.TrimPrefix(e.GetReason().String(), "ERROR_REASON_"))).Inc()
	return runnelv1.ToStatus(e)
}

type metrics struct {
	requests *prometheus.CounterVec
	errors   *prometheus.CounterVec
	unasked  prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_admin_requests_total", Help: "Requests of operators, by call.",
		}, []string{"api"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_admin_errors_total", Help: "Failed requests of operators, by call and reason.",
		}, []string{"api", "reason"}),
		unasked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_admin_unanswered_brokers_total",
			Help: "Times that a broker did not tell the status of its replicas.",
		}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.errors, m.unasked)
	}
	return m
}
