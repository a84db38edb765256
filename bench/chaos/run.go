package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/bench/chaos/proxy"
	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/workload"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	// brokers make the cluster; one more machine is the spare.
	brokers = 5
	// formed bounds the start of the cluster.
	formed = 90 * time.Second
	// smallNumber is the machine with a small disk.
	smallNumber = 4
)

// run is a cluster under faults.
type run struct {
	o            options
	cluster      *proc.Cluster
	net          *proxy.Network
	machines     []*machine // by number, from 1
	smallMachine *machine
	spare        *machine        // of the goroutine of the third lane
	certs        *certificates   // nil: the brokers speak in plain text, since nothing is to be rotated
	cl           *client.Client  // an operator's
	life         context.Context // ends with the run
	began        time.Time
	lanes        []*lane
	calm         atomic.Bool        // no fault of processes or the network is to begin
	baseline     map[string]float64 // before the first fault
	kept         bool               // the topics of a round with a violation are still there
	elder        atomic.Pointer[machine]
	faulted      bool // a fault was to begin
	filled       int  // how often the small disk was, of whoever has taken its machine

	// Of a round.
	rec    *check.Recorder
	w      *workload.Workload
	topics []workload.Topic
	slots  []workload.Slot
	since  time.Duration // when the round began
	added  bool          // its operations and outages are in the tables

	mu         sync.Mutex
	fired      []fired
	unfit      map[string]int
	violations []check.Violation
	facts      check.Facts
	removed    map[int32]bool // broker ids that may never act again
	empty      []string       // what a round was to show and did not
	tallies    map[string]workload.Tally
	outages    []outage
}

// now is the time since the run began.
func (r *run) now() time.Duration { return time.Since(r.began) }

// violate adds a broken promise, at most some of each.
func (r *run) violate(invariant, format string, args ...any) {
	r.add(check.Violation{Invariant: invariant, What: fmt.Sprintf(format, args...)})
}

func (r *run) add(v check.Violation) {
	const most = 20
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, x := range r.violations {
		if x.Invariant == v.Invariant {
			n++
		}
	}
	if n >= most {
		return
	}
	r.violations = append(r.violations, v)
	fmt.Printf("%7.1f s  VIOLATION %s\n", r.now().Seconds(), v)
}

// lacks notes what a round was to show and did not.
func (r *run) lacks(n int, what ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range what {
		r.empty = append(r.empty, fmt.Sprintf("%s in round %d", w, n))
	}
}

// fact counts what was held against an invariant.
func (r *run) fact(invariant string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts[invariant] += n
}

// gone notes that a broker id was removed for good.
func (r *run) gone(id int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed[id] = true
}

// start starts proxy and brokers.
func start(ctx context.Context, o options, dir string) (*run, error) {
	r := &run{
		o: o, began: time.Now(), facts: check.Facts{}, unfit: map[string]int{}, removed: map[int32]bool{},
		tallies: map[string]workload.Tally{}, life: ctx,
	}
	var err error
	args := []string{
		"--replacement-after", "5s", "--disk-reserve-bytes", fmt.Sprint(reserve),
		"--memory-tail-bytes", "4MiB", // readers that are behind read the disk
	}
	if slices.Contains(o.kinds, rotate) {
		if r.certs, err = newCertificates(filepath.Join(dir, "certs")); err != nil {
			return nil, err
		}
		args = append(args, r.certs.flags()...)
	}
	r.cluster, err = proc.New(ctx, proc.Options{Dir: dir, Brokers: brokers, Brokerd: o.brokerd, Proxied: true, Args: args})
	if err != nil {
		return nil, err
	}
	r.cluster.Spare()
	var nodes []*proxy.Node
	for _, b := range r.cluster.Brokers {
		nodes = append(nodes, &proxy.Node{
			Number: b.Number, Peer: b.Peer, Gossip: b.Gossip, Client: b.Client, PID: b.PID,
			FrontPeer: b.Told.Peer, FrontGossip: b.Told.Gossip, FrontClient: b.Told.Client,
		})
	}
	if r.net, err = proxy.New(nodes, o.seed); err != nil {
		return nil, err
	}
	if err := r.startBrokers(ctx); err != nil {
		return nil, errors.Join(err, r.close(true))
	}
	return r, nil
}

// startBrokers makes the machines and starts those of the cluster.
func (r *run) startBrokers(ctx context.Context) (err error) {
	for _, b := range r.cluster.Brokers {
		m := newMachine(b, r.net)
		m.member.Store(b.Number <= brokers)
		r.machines = append(r.machines, m)
	}
	r.smallMachine, r.spare = r.machines[smallNumber-1], r.machines[brokers]
	if err := r.smallMachine.mountSmall(); err != nil {
		fmt.Printf("%v: %s is done by a reserve above the disk\n", err, noSpace)
	}
	for number := range lanes {
		r.lanes = append(r.lanes, newLane(r.o.seed, number, r.o.kinds, len(r.machines)))
	}
	wait, cancel := context.WithTimeout(ctx, formed)
	defer cancel()
	for _, m := range r.machines[:brokers] {
		if err := m.boot(); err != nil {
			return err
		}
	}
	if err := r.cluster.Ready(wait); err != nil {
		return err
	}
	r.cl, err = r.target().New()
	return err
}

// close ends everything. What is on the small disk is kept with the rest if it is to be looked at.
func (r *run) close(keep bool) error {
	var errs []error
	if r.cl != nil {
		errs = append(errs, r.cl.Close())
	}
	errs = append(errs, r.cluster.KillAll())
	if r.net != nil {
		errs = append(errs, r.net.Close())
	}
	if r.smallMachine != nil {
		errs = append(errs, r.smallMachine.empty(), r.smallMachine.unmount(keep))
	}
	return errors.Join(errs...)
}

// roundOf makes topics, has them used while faults go on, heals everything and checks all.
func (r *run) roundOf(ctx context.Context, n int, length time.Duration) (err error) {
	r.topics = newTopics(n)
	r.slots = workload.Slots(r.topics)
	setup, cancel := context.WithTimeout(ctx, formed)
	defer cancel()
	if err := workload.CreateTopics(setup, r.target(), r.topics); err != nil {
		return err
	}
	if err := until(ctx, formed, r.unwhole); err != nil {
		return fmt.Errorf("the cluster is not whole before the first fault: %w", err)
	}
	r.rec = check.NewRecorder()
	r.since, r.added = r.now(), false
	r.w, err = workload.Start(ctx, workload.Options{
		Seeds: r.cluster.Seeds(), TLS: r.target().TLS, Topics: r.topics, Writers: 2, InFlight: 300, Pause: 8 * time.Millisecond, OneByOnes: 2,
		Readers: 1, Pollers: 1, Askers: 1, Makers: 1, Delivery: 10 * time.Second,
		Hurry: 700 * time.Millisecond, // so that records are given up, for certain or not
	}, r.rec)
	if err != nil {
		return err
	}
	defer r.account() // of a round that was broken off
	ended := false
	defer func() {
		if !ended {
			err = errors.Join(err, r.served(r.w.Abort()))
		}
	}()
	if err := r.warm(ctx); err != nil {
		return err
	}
	watch, stopWatching := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	watchers.Go(func() { r.watchLeaders(watch) })
	watchers.Go(func() { r.watchProcesses(watch) })
	watchers.Go(func() { r.watchQuarantines(watch) })
	defer watchers.Wait()
	defer stopWatching()
	if err := r.fire(ctx, n, length); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := r.rest(ctx, n, r.oldAge(length))
	if err != nil {
		return err
	}
	stopWatching()
	watchers.Wait()
	ended = true
	if err := r.served(r.w.Abort()); err != nil {
		r.violate("run", "a client could not go on: %v", err)
	}
	return r.judge(ctx, n, h)
}

// served judges the errors at which clients ended, and answers what is left of them. Brokers check what they serve, so a batch that a client cannot
// read was served as a whole one.
func (r *run) served(err error) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		var rest error
		for _, e := range several.Unwrap() {
			rest = errors.Join(rest, r.served(e))
		}
		return rest
	}
	if r.unreadable(err) {
		return nil
	}
	return err
}

// unreadable tells whether an error is that what a broker served cannot be read, which is a violation.
func (r *run) unreadable(err error) bool {
	var damage *workload.DamageError
	if !errors.As(err, &damage) && runnelv1.AsError(err).GetReason() != runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH {
		return false
	}
	r.violate("I4", "an unreadable batch was served: %v", err)
	return true
}

// warm waits until clients are served, and takes the baseline of what brokers use.
func (r *run) warm(ctx context.Context) error {
	const records, patience = 1000, 30 * time.Second
	if err := until(ctx, patience, func(context.Context) string {
		if n := r.w.Acked(); n < records {
			return fmt.Sprintf("%d records acknowledged", n)
		}
		return ""
	}); err != nil {
		return fmt.Errorf("clients are not served before the first fault: %w", err)
	}
	if r.baseline != nil {
		return nil
	}
	now, err := r.usage(ctx)
	r.baseline = most(now)
	return err
}

// logs are the brokers' log files.
func (r *run) logs() []string {
	var out []string
	for _, m := range r.machines {
		if _, err := os.Stat(m.LogFile()); err == nil {
			out = append(out, m.LogFile())
		}
	}
	return out
}

// path names a file of the run.
func (r *run) path(name string) string { return filepath.Join(r.cluster.Dir, name) }
