package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
)

const (
	// defaultInstalls is how many replicas are installed at a time: they share one limit of bytes anyway.
	defaultInstalls = 2
	// An install that failed waits before it is tried again, twice as long each time, in whole seconds: Tick sets it going.
	firstPause = time.Second
	maxPause   = 15 * time.Second
	// loyalty is how often in a row a source that gave something already may fail to give more before another one is asked. What
	// one source's files hold is of no use with those of another.
	loyalty = 3
)

// installs are the replicas on their way here. An install lasts as long as its log is large, so each has a goroutine of its own
// while its turn is, not one of the openers' tasks.
type installs struct {
	ctx     context.Context // ends with the agent
	cancel  context.CancelFunc
	running sync.WaitGroup

	// Guarded by Agent.mu.
	queue    []*replica // each at most once (install.queued)
	active   map[*replica]bool
	all      map[*replica]bool // that have an install, and some that had one
	pause    time.Duration     // after the first failure
	received int64             // bytes since the start
}

// install is the way of one replica, guarded by Agent.mu. The fields from in on are changed by the goroutine alone while running is
// set, so it reads them as it likes.
type install struct {
	running bool
	queued  bool
	stop    context.CancelFunc // of the try under way

	done, total int64
	err         string    // why the last try failed
	stalls      bool      // it was that all sources gave nothing
	notBefore   time.Time // of the next try

	in       *raftlog.Installer // kept from try to try with what it received; nil before the first
	source   int32              // who gave something last, unless it stalled since
	failures int                // in a row without a byte
	stalled  map[int32]int      // how often each source did (catchup.ErrStalled)
}

// beginInstall has a replica installed when its turn comes. Its end queues the replica again.
func (a *Agent) beginInstall(r *replica) error {
	if a.cfg.Catchup == nil {
		return errors.New("this broker is not set up to install replicas")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.install == nil {
		r.install = &install{}
		a.installs.all[r] = true
		a.queueInstallLocked(r)
	}
	return nil
}

// endInstall gives an install up and removes what was received. While a try is under way it only has that end, which takes a
// moment; then ended is false and the replica is queued again after it.
func (a *Agent) endInstall(r *replica) (ended bool, err error) {
	a.mu.Lock()
	i := r.install
	if i != nil && i.running {
		i.stop()
		a.mu.Unlock()
		return false, nil
	}
	r.install = nil
	if i != nil && i.queued {
		a.installs.queue = slices.DeleteFunc(a.installs.queue, func(q *replica) bool { return q == r })
	}
	a.mu.Unlock()
	if i == nil || i.in == nil {
		return true, nil
	}
	if err := i.in.Abort(); err != nil {
		return true, fmt.Errorf("remove what was received: %w", err)
	}
	return true, nil
}

// queueInstallsLocked queues what failed and has waited.
func (a *Agent) queueInstallsLocked() {
	now := a.cfg.Env.Now()
	all := slices.SortedFunc(maps.Keys(a.installs.all), func(x, y *replica) int { return cmp.Compare(x.id, y.id) })
	for _, r := range all {
		switch i := r.install; {
		case i == nil:
			delete(a.installs.all, r)
		case !i.running && !i.queued && !now.Before(i.notBefore):
			a.queueInstallLocked(r)
		}
	}
}

func (a *Agent) queueInstallLocked(r *replica) {
	r.install.queued = true
	a.installs.queue = append(a.installs.queue, r)
	a.startInstallsLocked()
}

// startInstallsLocked gives their turn to as many as may be under way.
func (a *Agent) startInstallsLocked() {
	s := &a.installs
	for !a.stopped && len(s.active) < a.cfg.Installs && len(s.queue) > 0 {
		r := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		i := r.install
		ctx, cancel := context.WithCancel(s.ctx)
		i.queued, i.running, i.stop = false, true, cancel
		s.active[r] = true
		s.running.Go(func() {
			a.cfg.Env.Resumed()
			err := a.receive(ctx, r, i)
			cancel()
			a.installEnded(r, i, err)
		})
	}
}

// installEnded is the end of a try.
func (a *Agent) installEnded(r *replica, i *install, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i.running = false
	delete(a.installs.active, r)
	switch {
	case err == nil:
		a.onDisk[r.id] = onDisk{group: r.group}
		r.install = nil
		a.enqueueLocked(r)
	case a.stopped: // stopInstalls does the rest
	case r.want != wantRun || r.birth != birthInstalled:
		a.enqueueLocked(r)
	default:
		first := i.err == ""
		i.err, i.stalls = err.Error(), onlyStalled(err)
		pause := a.installs.pause << min(i.failures, 8)
		i.notBefore = a.cfg.Env.Now().Add(min(pause, maxPause))
		if first {
			a.log.Warn("a replica could not be installed and will be tried again", "topic", r.topic, "partition", r.number,
				"group", r.group, "replica", r.id, "error", err)
		}
	}
	a.startInstallsLocked()
}

// stopInstalls ends all tries, waits for them, and removes what they received: after a restart nothing of it would be of use.
func (a *Agent) stopInstalls() {
	a.installs.cancel()
	a.installs.running.Wait()
	a.mu.Lock()
	var left []*replica
	for _, r := range a.replicas {
		if r.install != nil {
			left = append(left, r)
		}
	}
	a.mu.Unlock()
	for _, r := range left {
		if _, err := a.endInstall(r); err != nil {
			a.log.Warn("what was received of a replica stays until the next start", "group", r.group, "replica", r.id, "error", err)
		}
	}
}

// receive is one try to install a replica. It runs on a goroutine of its own.
func (a *Agent) receive(ctx context.Context, r *replica, i *install) error {
	a.mu.Lock()
	judged := a.judged
	a.mu.Unlock()
	if err := a.stateIsNew(judged); err != nil {
		return err
	}
	if a.cfg.StateCurrent != nil {
		if ok, why := a.cfg.StateCurrent(); !ok {
			return fmt.Errorf("waiting for the newest state: %s", why)
		}
	}
	if i.in != nil { // while it waited, nobody told it of newer states
		a.setInstaller(i, i.in, i.failures)
	}
	sources := a.sources(r, i)
	if len(sources) == 0 {
		a.setInstaller(i, i.in, i.failures+1)
		return errors.New("no broker with a replica of the partition is alive")
	}
	if i.in == nil {
		in, err := a.store.Install(r.group, r.id)
		switch {
		case errors.Is(err, raftlog.ErrReplicaExists):
			return nil // the last try got so far, and what failed came after
		case err != nil:
			return err
		}
		a.setInstaller(i, in, i.failures)
	}
	var errs []error
	for _, broker := range sources {
		err := a.receiveFrom(ctx, r, i, broker)
		if err == nil {
			a.setInstaller(i, nil, 0)
			return nil
		}
		errs = append(errs, err)
		if errors.Is(err, raftlog.ErrClosed) { // the installer is over: the next try needs another one
			errs = append(errs, i.in.Abort())
			a.setInstaller(i, nil, i.failures)
			break
		}
		if ctx.Err() != nil || broker == i.source && i.loyal() {
			break
		}
	}
	return errors.Join(errs...)
}

// onlyStalled tells whether all that made a try fail is that its sources gave nothing.
func onlyStalled(err error) bool {
	tries, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // as receive joins them
	return ok && !slices.ContainsFunc(tries.Unwrap(), func(err error) bool { return !errors.Is(err, catchup.ErrStalled) })
}

func (a *Agent) setInstaller(i *install, in *raftlog.Installer, failures int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i.in, i.failures = in, failures
	if in != nil {
		in.Wanted(a.judged)
	}
}

// loyal tells whether the source that gave something is to be asked again before another one.
func (i *install) loyal() bool { return i.source != 0 && i.failures < loyalty }

// sources lists whom to ask for the log, the best first: who gave some of it already, the leader, the other voters, and those that stalled,
// the more often the later.
func (a *Agent) sources(r *replica, i *install) []int32 {
	s := a.latest.Load()
	p := partitionAt(s, r)
	if p == nil {
		return nil
	}
	lead, _, _ := a.host.Leader(r.group)
	var out []int32
	for _, v := range p.Replicas {
		if v.Broker != a.cfg.BrokerID && a.host.Alive(v.Broker) {
			out = append(out, v.Broker)
		}
	}
	rank := func(b int32) int {
		switch {
		case b == i.source:
			return 0
		case i.stalled[b] > 0:
			return 2 + i.stalled[b]
		case b == lead:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(out, func(x, y int32) int { return rank(x) - rank(y) })
	if len(out) > 0 && out[0] == i.source && i.loyal() {
		return out[:1]
	}
	if len(out) > 1 && out[0] == i.source { // it had its chances
		out = append(out[1:], out[0])
	}
	return out
}

// partitionAt finds a replica's partition in a state; nil if it is not there.
func partitionAt(s *placement.State, r *replica) *placement.Partition {
	t := s.Topics[r.topic]
	if t == nil || int(r.number) >= len(t.Partitions) || t.Partitions[r.number].Group != r.group {
		return nil
	}
	return &t.Partitions[r.number]
}

// receiveFrom is one try with one source.
func (a *Agent) receiveFrom(ctx context.Context, r *replica, i *install, broker int32) error {
	last, got := int64(-1), false
	_, err := a.cfg.Catchup.Patient(i.stalled[broker]).Run(ctx, i.in, broker, r.group, func(p catchup.Progress) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if last >= 0 && p.Done > last {
			got = true
			a.installs.received += p.Done - last
		}
		last = p.Done
		i.done, i.total, i.err = p.Done, p.Total, ""
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	var d *raftlog.DamagedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &d) && !d.Transit:
		i.source, i.failures = 0, i.failures+1 // of no use
	case errors.Is(err, catchup.ErrStalled): // not to be waited for again while there is another one, whatever it gave
		if i.stalled == nil {
			i.stalled = map[int32]int{}
		}
		i.source, i.failures = 0, i.failures+1
		i.stalled[broker]++
		a.log.Warn("a source of a replica gives nothing, look at its disk; others are asked before it from now on", "topic", r.topic,
			"partition", r.number, "group", r.group, "replica", r.id, "from_broker", broker, "error", err)
	case got:
		i.source, i.failures = broker, 0
	default:
		i.failures++
	}
	return err
}

// stateLocked tells how far an install is; it needs Agent.mu.
func (i *install) stateLocked() ask.Install {
	st := ask.Install{State: ask.InstallWaiting, Done: i.done, Total: i.total, Err: i.err, Stalled: i.err != "" && i.stalls}
	if i.running && i.err == "" {
		st.State = ask.InstallReceiving
	}
	return st
}
