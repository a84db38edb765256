package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Caller sends a request to another broker and waits for its answer. The error is a *runnelv1.Error.
type Caller interface {
	Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error)
}

// Config is what a Controller needs.
type Config struct {
	Env      *env.Env
	BrokerID int32
	// Alive tells whether a broker is heard from. Replicas are planned on brokers that are alive, and dead ones are asked last.
	Alive  func(broker int32) bool
	Caller Caller
	// Log may be nil; the Env's is used then.
	Log *slog.Logger
	// Audit takes a line for each change of settings, whatever Log leaves out. Nil: Log.
	Audit *slog.Logger
	// ValidateConfig checks a topic's settings. The error is shown to the one who asked. May be nil.
	ValidateConfig func(map[string]string) error
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Stopped is told each time the replica has stopped, whether it was told to or failed (multiraft.Group.Healthy). Nil: nobody. It
	// must not block.
	Stopped func()

	// Level tells the highest level of commands (placement.Level) that a broker's release reads, if the broker is heard of. Nil: all read all.
	Level func(broker int32) (level int, ok bool)

	// Leader tells which broker leads a group, as this broker knows. Nil, or a nil Caller: nothing is driven, and moves stay as they are.
	Leader func(group uint64) (broker int32, term uint64, ok bool)
	// ReplaceAfter is how long a broker may be silent before its replicas are replaced; 0 means five minutes.
	ReplaceAfter time.Duration
	// Parallel is how many moves copy data at the same time; 0 means 8.
	Parallel int
	// PerBroker is how many replicas one broker receives, and sends as a leader, at the same time; 0 means 2.
	PerBroker int
	// MuteAfterReturn is the longest that a broker gets no leaders after it came back: 2 s, and twice as long each time that it was there
	// for less than half a minute. 0 means 10 s.
	MuteAfterReturn time.Duration
	// Automatic has the leader plan moves and send leaders home by itself. Without it only moves that were asked for are driven.
	Automatic bool

	// ValidateSettings checks what is to be set for one broker, or for all of them if that is 0, and the names of what is to be removed but is
	// not set. The error is shown to the one who asked. Nil: all is right.
	ValidateSettings func(broker int32, set map[string]string, unset []string) error
	// Tune gives what the cluster's settings make of the Config's. Nil: nothing.
	Tune func(*placement.State, Tuning) Tuning
}

// group is what the controller needs of its raft group; *multiraft.Group in production.
type group interface {
	Wake()
	SetMembers(m map[uint64]int32)
	ReadIndex(done func(index uint64, err error))
	AddLearner(replica uint64, broker int32, done func(error))
	RemoveLearner(replica uint64, done func(error))
	ChangeVoters(c multiraft.VoterChange, done func(error))
	LeaveJoint(done func(error))
	Status() multiraft.Status
}

// Controller is the Machine of the controller group.
type Controller struct {
	cfg Config
	log *slog.Logger
	// auditLog takes the lines of audit.
	auditLog *slog.Logger
	// nonce marks this Controller's own commands in the log.
	nonce uint64
	// published is the newest applied state.
	published atomic.Pointer[placement.State]

	// unknown counts the committed commands that this version could not read.
	unknown atomic.Int64

	// Of the group's worker alone.
	fold *placement.State // folded up to the last Apply
	done []applied        // outcomes of own commands since the last Applied
	told uint64           // index up to which own commands were counted and audited

	hearing *hearing

	// planning serialises planners, so that a long plan is not overtaken again and again. Taken before mu.
	planning sync.Mutex

	// drives has the loop that drives moves, while this replica leads in session.
	drives drives
	// counts are of what the loop did.
	counts driveCounts
	// actions are of the commands that this broker brought about.
	actions actions
	// overviews has room for one: the one that is being made.
	overviews chan struct{}

	// telling serialises the calls of listeners. Taken before mu.
	telling   sync.Mutex
	listeners []*listener

	mu       sync.Mutex
	group    group                        // nil before Attach
	heeded   placement.ControllerRecovery // see Heed
	stopped  bool
	waiters  []revisionWaiter
	pipeline pipeline
	members  members
}

// New makes the machine of the controller group. It is given to multiraft.Host.StartGroup and then attached.
func New(cfg Config) *Controller {
	cfg = cfg.withDefaults()
	c := &Controller{cfg: cfg, log: cfg.Log, nonce: cfg.Env.Uint64(), fold: placement.New(), overviews: make(chan struct{}, 1), hearing: newHearing(cfg)}
	if c.log == nil {
		c.log = cfg.Env.Log
	}
	c.auditLog = c.log.With("component", "controller")
	if cfg.Audit != nil {
		c.auditLog = cfg.Audit.With("component", "controller")
	}
	c.log = c.log.With("component", "controller")
	c.published.Store(c.fold)
	c.members.task = c.newMembersTask()
	c.register(cfg.Registerer)
	return c
}

func (c *Controller) newMembersTask() env.Task {
	return c.cfg.Env.NewTask(env.ClassRaft, "controller members", c.stepMembers)
}

// Attach gives the controller its group, after StartGroup: once, and again when the group was stopped and started with another
// replica of this broker.
func (c *Controller) Attach(g *multiraft.Group) { c.attach(g) }

func (c *Controller) attach(g group) {
	c.mu.Lock()
	c.group = g
	c.mu.Unlock()
	g.SetMembers(c.whereabouts(c.State()))
	c.silence(g, c.State())
	g.Wake()
	c.members.task.Wake()
}

// State is the newest applied state of this broker's controller replica; never nil, never changed.
func (c *Controller) State() *placement.State { return c.published.Load() }

// listener is one of OnChange, and the revision it was told last; guarded by Controller.telling.
type listener struct {
	f    func(*placement.State)
	told uint64
}

// OnChange has f called with every newer state, one call at a time and in order, on the group's worker: f must not
// block. If there is a state already, f is called with it at once.
func (c *Controller) OnChange(f func(*placement.State)) {
	c.telling.Lock()
	defer c.telling.Unlock()
	l := &listener{f: f}
	c.listeners = append(c.listeners, l)
	l.tell(c.State())
}

func (l *listener) tell(s *placement.State) {
	if s.Revision > l.told { // a new replica's empty state is news to nobody
		l.told = s.Revision
		l.f(s)
	}
}

// Leader tells which broker leads the controller group as this broker knows; 0 if unknown.
func (c *Controller) Leader() int32 {
	g := c.attached()
	if g == nil {
		return 0
	}
	return g.Status().LeadBroker
}

// CaughtUp tells whether State is current as far as this broker can know: its controller replica knows a leader and has
// applied everything it knows as committed. Right after a start, State is what a checkpoint and a part of the log gave,
// and may lack topics. If not caught up, the text says what is awaited.
func (c *Controller) CaughtUp() (bool, string) {
	g := c.attached()
	if g == nil {
		return false, "the controller replica is not running yet"
	}
	st := g.Status()
	switch {
	case st.LeadBroker == 0:
		return false, "the controller group has no leader that this broker knows"
	case st.Applied < st.Commit:
		return false, fmt.Sprintf("the controller replica has applied %d of %d entries", st.Applied, st.Commit)
	}
	return true, ""
}

func (c *Controller) attached() group {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.group
}

func (c *Controller) alive(broker int32) bool {
	return broker == c.cfg.BrokerID || c.cfg.Alive == nil || c.cfg.Alive(broker)
}

// notController says that this broker cannot answer, and who could.
func (c *Controller) notController() *runnelv1.Error {
	e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_CONTROLLER, "broker %d does not lead the controller group", c.cfg.BrokerID)
	if g := c.attached(); g != nil {
		if lead := g.Status().LeadBroker; lead != 0 && lead != c.cfg.BrokerID {
			e.LeaderId = lead
			if b := c.State().Brokers[lead]; b != nil {
				e.LeaderAddress = b.ClientAddr
			}
		}
	}
	return e
}
