package controller

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	defaultReplaceAfter    = 5 * time.Minute
	defaultParallel        = 8
	defaultPerBroker       = 2
	defaultMuteAfterReturn = 10 * time.Second

	// How many calls of each kind are in flight at most.
	maxPolls     = 128
	maxSteps     = 32
	maxTransfers = 8
	maxInFlight  = maxPolls + maxSteps + maxTransfers + 1 // and one plan

	// idlePause is how long the loop rests when nothing is due and nothing happens.
	idlePause = time.Second
)

// desk is what the loop needs of the Controller.
type desk interface {
	// State is the newest applied state.
	State() *placement.State
	// submit commits a command on this leader and answers when it is applied.
	submit(ctx context.Context, cmd placement.Command) *runnelv1.Error
	// alive tells whether a broker is heard.
	alive(broker int32) bool
}

// driver is the loop of one leader session: it asks the brokers how their replicas are (poll.go), plans (autoplan.go), takes each move from phase to phase (mover.go, moves.go) and sends leaders home (transfers.go).
//
// One goroutine owns every field. What takes time, calls to brokers and commands, runs on workers, whose number is bounded by kind; a
// worker hands back a function that the loop runs. Nothing here needs to outlive the session: whoever leads next reads the phases from
// the state and goes on.
type driver struct {
	cfg  Config
	desk desk
	log  *slog.Logger
	ctx  context.Context

	workers sync.WaitGroup
	results chan func() // what workers hand back; has room for all of them, so that they end although the loop has
	asks    chan func() // what others want to know (Overview)
	wakeup  chan struct{}
	ticks   chan struct{}
	ended   chan struct{}

	due     time.Time // when the loop passes again at the latest
	again   bool      // something happened that a pass has to look at
	hearing *hearing
	changes uint64 // of what is heard, as of the last pass
	brokers map[int32]*source
	polls   int  // in flight
	left    bool // a broker is due and was not polled, for want of room

	topics topicWatch
	movers map[uint64]*mover
	steps  int // in flight
	seq    uint64

	planner   planner
	transfers transfers
	vigils    vigils

	counts *driveCounts
	// quarantine is what quarantined returned last, for others than the loop.
	quarantine atomic.Pointer[map[uint64]string]
}

// driveCounts are for metrics.
type driveCounts struct {
	finished, cancelled, failed, transfers atomic.Int64
}

// drives runs the drivers of one Controller, one after the other. All of it is guarded by mu.
type drives struct {
	mu      sync.Mutex
	stopped bool
	cancel  context.CancelFunc
	current *driver
	running sync.WaitGroup
}

func (c Config) withDefaults() Config {
	if c.ReplaceAfter <= 0 {
		c.ReplaceAfter = defaultReplaceAfter
	}
	if c.Parallel <= 0 {
		c.Parallel = defaultParallel
	}
	if c.PerBroker <= 0 {
		c.PerBroker = defaultPerBroker
	}
	if c.MuteAfterReturn <= 0 {
		c.MuteAfterReturn = defaultMuteAfterReturn
	}
	return c
}

// startDriving begins the loop of a leader session. It does not block.
func (c *Controller) startDriving() {
	if c.cfg.Leader == nil || c.cfg.Caller == nil {
		return
	}
	c.drives.mu.Lock()
	defer c.drives.mu.Unlock()
	if c.drives.stopped {
		return
	}
	before := c.drives.current
	c.endDrivingLocked()
	ctx, cancel := context.WithCancel(context.Background())
	d := newDriver(ctx, c.cfg, c, c.hearing, c.log)
	d.counts = &c.counts
	c.drives.cancel, c.drives.current = cancel, d
	c.drives.running.Go(func() {
		defer cancel()
		if before != nil {
			<-before.ended // its last commands must not come between
		}
		d.cfg.Env.Resumed()
		d.run()
	})
}

// endDriving ends the loop of the session that is over. It does not wait.
func (c *Controller) endDriving() {
	c.drives.mu.Lock()
	defer c.drives.mu.Unlock()
	c.endDrivingLocked()
}

func (c *Controller) endDrivingLocked() {
	if c.drives.cancel != nil {
		c.drives.cancel()
		c.drives.cancel = nil
	}
}

// driving returns the loop of the present session, nil if there is none.
func (c *Controller) driving() *driver {
	c.drives.mu.Lock()
	defer c.drives.mu.Unlock()
	if c.drives.cancel == nil {
		return nil
	}
	return c.drives.current
}

// Notice has the loop look at once at who is heard. It is called when Config.Alive began to answer otherwise for a reason that no
// heartbeat shows, such as that a broker said it stops: it may be back before the loop would look by itself.
func (c *Controller) Notice() {
	if d := c.driving(); d != nil {
		d.wake()
	}
}

// Stop ends the loop that drives moves, for good, and waits for it and its calls. It is called before the group is stopped; the rest of
// the Controller works on until then.
func (c *Controller) Stop() {
	c.drives.mu.Lock()
	c.drives.stopped = true
	c.endDrivingLocked()
	c.drives.mu.Unlock()
	c.drives.running.Wait()
}

func newDriver(ctx context.Context, cfg Config, desk desk, hearing *hearing, log *slog.Logger) *driver {
	d := &driver{
		counts: &driveCounts{}, cfg: cfg, desk: desk, log: log, ctx: ctx,
		results: make(chan func(), maxInFlight), asks: make(chan func()), wakeup: make(chan struct{}, 1), ticks: make(chan struct{}, 1), ended: make(chan struct{}),
		hearing: hearing, brokers: map[int32]*source{}, movers: map[uint64]*mover{}, transfers: newTransfers(),
	}
	d.quarantine.Store(&map[uint64]string{})
	return d
}

// wake has the loop look at the state again. It never blocks.
func (d *driver) wake() {
	select {
	case d.wakeup <- struct{}{}:
	default: // a wake is waiting already
	}
}

// nudge has the loop see what time it is. It never blocks.
func (d *driver) nudge() {
	select {
	case d.ticks <- struct{}{}:
	default:
	}
}

func (d *driver) run() {
	defer close(d.ended)
	defer d.workers.Wait()
	timer := d.cfg.Env.AfterFunc(idlePause, d.nudge)
	defer timer.Stop()
	for d.ctx.Err() == nil {
		now := d.cfg.Env.Now()
		d.turn(now)
		timer.Reset(max(0, d.due.Sub(now)))
		var f func()
		select {
		case <-d.ctx.Done():
		case <-d.wakeup:
			d.again = true
		case <-d.ticks:
		case f = <-d.asks:
		case f = <-d.results:
		}
		d.cfg.Env.Resumed()
		if f != nil {
			f()
		}
		d.takeRest()
	}
}

// takeRest takes what else came, so that one pass serves all of it, whatever the select above happened to draw.
func (d *driver) takeRest() {
	select {
	case <-d.wakeup:
		d.again = true
	default:
	}
	select {
	case <-d.ticks:
	default:
	}
	for {
		select {
		case f := <-d.results:
			f()
		default:
			return
		}
	}
}

// turn passes if there is reason to. Most answers to polls are none: nothing has changed.
func (d *driver) turn(now time.Time) {
	if d.again || !now.Before(d.due) {
		d.again = false
		d.pass(now)
	}
}

// pass looks at everything that is due. It costs O(brokers + moves), and O(topics) after a change of the state.
func (d *driver) pass(now time.Time) {
	d.due = now.Add(idlePause)
	s := d.desk.State()
	d.listen(now, s)
	d.watchTopics(now, s)
	moves := d.sorted()
	d.stepMoves(now, s, moves)
	d.poll(now, s, moves)
	if d.cfg.tuning(s).Automatic {
		d.sendHome(now, s)
		d.plan(now, s)
	}
}

// listen takes in who is heard.
func (d *driver) listen(now time.Time, s *placement.State) {
	changes, unmutes := d.hearing.pass(now, s.Brokers, d.desk.alive)
	if changes != d.changes {
		d.changes = changes
		d.planner.dirty = true
		d.transfers.next = now // who could not go home before may now
	}
	if unmutes > 0 {
		d.dueAt(now.Add(unmutes))
	}
}

// dueAt has the loop pass at a time, or before.
func (d *driver) dueAt(t time.Time) {
	if t.Before(d.due) {
		d.due = t
	}
}

// spawn runs f on a worker, counts it while it runs, and has the loop run what it returns.
func (d *driver) spawn(count *int, f func() (then func())) {
	*count++
	d.workers.Go(func() {
		d.cfg.Env.Resumed()
		then := f()
		d.results <- func() {
			*count--
			then()
		}
	})
}

// call asks a broker, for no longer than the limit.
func (d *driver) call(ctx context.Context, broker int32, method string, body []byte, limit time.Duration) ([]byte, *runnelv1.Error) {
	ctx, cancel := d.cfg.Env.Within(ctx, limit)
	defer cancel()
	answer, err := d.cfg.Caller.Call(ctx, broker, method, body)
	if err != nil {
		return nil, runnelv1.AsError(err)
	}
	return answer, nil
}

// ask runs f on the loop and waits; false if there is no loop any more or ctx ended.
func (d *driver) ask(ctx context.Context, f func()) bool {
	done, answered := make(chan struct{}), false
	select {
	case d.asks <- func() { f(); close(done) }:
		<-done
		answered = true
	case <-d.ended:
	case <-ctx.Done():
	}
	d.cfg.Env.Resumed()
	return answered
}
