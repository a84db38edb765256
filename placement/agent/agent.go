package agent

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
)

// Config is what an Agent needs.
type Config struct {
	Env      *env.Env
	BrokerID int32
	Host     *multiraft.Host
	Store    *raftlog.Store
	Budget   *partition.Budget
	Metrics  *partition.Metrics
	// DiskFull is passed to the partitions (partition.Config), and told to the controller: its leaders move off.
	DiskFull func() bool
	// StateCurrent tells whether the states that Update gets are current yet: Controller.CaughtUp. CaughtUp waits for it, or it
	// could be content with the few replicas of an old state. Nil: they are.
	StateCurrent func() (bool, string)
	// Registerer takes the metrics; nil for none. Series says which beside those of topics.
	Registerer prometheus.Registerer
	Series     Series
	// Log may be nil; the Env's is used then.
	Log *slog.Logger
	// Catchup receives the logs of replicas that moves add. Nil: none is installed here.
	Catchup *catchup.Client
	// Installs is how many replicas are installed at a time; 0 = 2.
	Installs int
	// Boot is drawn when the broker starts; Serve tells it.
	Boot uint64
	// Forget tells the controller that the data of these replicas, which have tombstones, is deleted: Controller.Do with
	// ForgetReplicas. It may block until ctx ends. Nil keeps the tombstones.
	Forget func(ctx context.Context, replicas []uint64) error
	// SegmentBytes is when a segment is full in topics that do not say; 0: as partition.DefaultSettings has it.
	SegmentBytes int64
}

// host is what the agent needs of *multiraft.Host.
type host interface {
	StartGroup(c multiraft.GroupConfig) (*multiraft.Group, error)
	StopGroup(group uint64) error
	Leader(group uint64) (broker int32, term uint64, ok bool)
	Alive(broker int32) bool
	ReleaseHeld()
}

// store is what the agent needs of *raftlog.Store.
type store interface {
	Identity() raftlog.Identity
	Replicas() []raftlog.ReplicaInfo
	Create(group, replica uint64, cs *raftpb.ConfState) error
	Install(group, replica uint64) (*raftlog.Installer, error)
	Recover(group, replica uint64, lost []uint64) error
	ConfAtEnd(group, replica uint64) (*raftpb.ConfState, error)
	Delete(group, replica uint64) error
	RaiseFloor(revision uint64) error
	Floor() uint64
}

// openers is how many replicas are opened, made or deleted at a time. The disk serves about that many committers, and
// elections and appends need it too.
const openers = 8

// Agent runs the replicas of one broker.
type Agent struct {
	cfg   Config
	log   *slog.Logger
	host  host
	store store

	// latest is the newest state that Update was given; never nil.
	latest atomic.Pointer[placement.State]
	// running maps group ids to *live; only replicas that serve. serve and unserve change it.
	running sync.Map
	rounds  rounds
	kept    uint64 // revision of the state as of which counts of topics were forgotten; of Tick alone

	compare env.Task   // runs reconcile
	openers []env.Task // run work, one replica a run

	// reconciled is the state that was compared last; of the compare task alone.
	reconciled *placement.State

	mu       sync.Mutex
	started  bool
	stopped  bool
	replicas map[uint64]*replica // by replica id: all that a state named or tombstoned here
	onDisk   map[uint64]onDisk   // by replica id
	queue    []*replica          // each at most once (replica.queued)
	opened   map[uint64]*live    // by group: the one that is open in the host
	gone     map[uint64][]uint64 // by group: the replicas with a tombstone
	nextWake int                 // of openers, in turn
	judged   uint64              // revision of the state that all replicas to run are wanted by
	compared uint64              // revision of reconciled
	turned   chan struct{}       // closed when compared changes
	installs installs
	waking   waking
	orphans  map[uint64]bool     // logged
	searched uint64              // revision of the state as of which orphans were looked for last
	faulty   map[uint64]*replica // by replica id: those with a fault, and those that had one a short while ago
	lacking  map[*live]bool      // led here, with voters that were behind the log's start when they were looked at last
	foreign  string              // why the state does not mean this disk; empty if it does
	caughtUp bool                // once true it stays so

	forget forgetter
}

type onDisk struct {
	group      uint64
	quarantine string
}

// New makes an agent; Start sets it to work.
func New(c Config) *Agent { return newAgent(c, c.Host, c.Store) }

func newAgent(c Config, h host, s store) *Agent {
	a := &Agent{
		cfg: c, log: c.Log, host: h, store: s, reconciled: placement.New(),
		replicas: map[uint64]*replica{}, onDisk: map[uint64]onDisk{}, orphans: map[uint64]bool{},
		opened: map[uint64]*live{}, turned: make(chan struct{}), faulty: map[uint64]*replica{}, lacking: map[*live]bool{},
	}
	if a.cfg.Installs <= 0 {
		a.cfg.Installs = defaultInstalls
	}
	a.installs.pause, a.installs.active, a.installs.all = firstPause, map[*replica]bool{}, map[*replica]bool{}
	a.installs.ctx, a.installs.cancel = context.WithCancel(context.Background())
	if a.log == nil {
		a.log = c.Env.Log
	}
	a.log = a.log.With("component", "agent")
	a.latest.Store(a.reconciled)
	a.compare = c.Env.NewTask(env.ClassServe, "agent compare", a.reconcile)
	for i := range openers {
		a.openers = append(a.openers, c.Env.NewTask(env.ClassServe, "agent open", func() {
			if a.work() {
				a.openers[i].Wake() // one replica a run, so that others of the pool get their turn
			}
		}))
	}
	a.register(c.Registerer)
	return a
}

// Start reads what is on the disk and begins to work on the states that Update was given, before or after.
func (a *Agent) Start() {
	a.mu.Lock()
	for _, r := range a.store.Replicas() {
		a.onDisk[r.Replica] = onDisk{group: r.Group, quarantine: r.Quarantine}
	}
	if a.waking.begin(a.onDisk) {
		a.host.ReleaseHeld()
	}
	a.started = true
	a.mu.Unlock()
	a.forget.start(a)
	a.compare.Wake()
}

// Stop ends the agent's work and waits for what is under way. The groups run on until multiraft.Host.Stop.
func (a *Agent) Stop() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.compare.Stop()
	for _, t := range a.openers {
		t.Stop()
	}
	a.stopInstalls()
	a.forget.stop()
}

// Update gives the agent a state. It never blocks, and ignores a state older than the newest it was given.
func (a *Agent) Update(s *placement.State) {
	for {
		old := a.latest.Load()
		if s.Revision <= old.Revision {
			return
		}
		if a.latest.CompareAndSwap(old, s) {
			a.compare.Wake()
			return
		}
	}
}

// Tick is called each second, by one goroutine at a time: partitions, a fifth of them each time, decide on retention and producer
// expiry, and what failed is tried again.
func (a *Agent) Tick(now time.Time) {
	a.round(now)
	a.retry()
	a.logOrphans()
	a.forgetTopics()
	a.forget.wake()
}

// Counts tells how many partitions this broker leads and how many replicas it runs.
func (a *Agent) Counts() (leaders, replicas int) {
	a.running.Range(func(_, v any) bool {
		replicas++
		if v.(*live).status().leads {
			leaders++
		}
		return true
	})
	return leaders, replicas
}
