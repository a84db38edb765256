package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/stream"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	wellTopic      = "well"
	wellPartitions = 6
	// times is how many times what one producer gets through is asked for.
	times = 5
	// calm is how long the well-behaved client is watched before and after.
	calm = 20 * time.Second
	// spare is how many connections come beside the idle ones, and more.
	spare = 1000
	// comesBackWithin bounds the wait for memory, goroutines and files to be as before.
	comesBackWithin = 90 * time.Second
)

// overload is a run.
type overload struct {
	o        options
	cluster  *proc.Cluster
	cl       *client.Client
	well     *stream.Stream
	capacity float64 // records a second
	before   []state
	limit    int64 // the highest so far
	phases   []phase
	tallies  map[string]*tally    // of loads that ended, added up
	nth      uint32               // run of loads
	sent     []*sent              // by all producers of all runs
	closed   []map[string]float64 // connections of each broker that ended, by reason
	wrong    []string             // violations
}

func (r *overload) violated(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// openFiles sees to it that the brokers may have the connections that come: a broker keeps a quarter of the open files for its log.
func openFiles(o options) error {
	need := uint64((o.n["idle"] + spare) * 4 / 3) //nolint:gosec // a number of connections
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur >= need {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: need, Max: max(need, l.Max)}); err != nil {
		return fmt.Errorf("%d idle connections and the others need %d open files a process, the limit is %d: raise it (ulimit -n), or run as root: %w", o.n["idle"], need, l.Cur, err)
	}
	return nil
}

func run(ctx context.Context, o options, dir string) (err error) {
	if err := openFiles(o); err != nil {
		return err
	}
	brokerctl, err := proc.Build(ctx, dir, "brokerctl")
	if err != nil {
		return err
	}
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3, Brokerd: o.brokerd})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	r := &overload{o: o, cluster: cluster, tallies: map[string]*tally{}}
	if r.cl, err = client.New(cluster.Seeds()); err != nil {
		return err
	}
	defer r.cl.Close()
	if err := r.topics(ctx); err != nil {
		return err
	}
	if err := r.measure(ctx, brokerctl); err != nil {
		return err
	}
	if r.well, err = stream.Start(ctx, stream.Options{Seeds: cluster.Seeds(), Topic: wellTopic, Partitions: wellPartitions}); err != nil {
		return err
	}
	if err := r.watched(ctx); err != nil {
		return r.well.Abort(err)
	}
	if err := r.judge(ctx); err != nil {
		return err
	}
	fmt.Println(r.render())
	if len(r.wrong) > 0 {
		return errors.New("violations:\n  " + strings.Join(r.wrong, "\n  "))
	}
	if r.o.duration < longEnough {
		fmt.Printf("whether memory is flat is told from %s on a load; this was %s\n", longEnough, r.o.duration)
	}
	fmt.Println("no violation")
	return nil
}

func (r *overload) topics(ctx context.Context) error {
	for _, t := range []*runnelv1.CreateTopicRequest{
		{Name: wellTopic, Partitions: wellPartitions, ReplicationFactor: 3},
		{Name: floodTopic, Partitions: floodPartitions, ReplicationFactor: 3, Config: map[string]string{"segment.bytes": "33554432", "retention.bytes": "67108864"}},
		{Name: largestTopic, Partitions: largestPartitions, ReplicationFactor: 3, Config: map[string]string{
			"segment.bytes": "67108864", "retention.bytes": "67108864", "max.message.bytes": fmt.Sprint(largestBatch)}},
	} {
		if _, err := r.cl.Admin().CreateTopic(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// measure finds what one producer gets through, as fast as it goes.
func (r *overload) measure(ctx context.Context, brokerctl string) error {
	out, err := exec.CommandContext(ctx, brokerctl, "--brokers", strings.Join(r.cluster.Seeds(), ","), "-o", "json", "bench", "produce",
		"--topic", floodTopic, "--record-size", fmt.Sprint(floodRecord), "--duration", "8s").Output()
	if err != nil {
		return fmt.Errorf("measuring what one producer gets through: %w", err)
	}
	var res struct {
		RecordsPerSecond float64 `json:"records_per_second"`
	}
	if err := json.Unmarshal(out, &res); err != nil {
		return err
	}
	if r.capacity = res.RecordsPerSecond; r.capacity < 1000 {
		return fmt.Errorf("one producer got %.0f records/s through: that is no measure", r.capacity)
	}
	return nil
}

// phase is a while in which some loads ran.
type phase struct {
	name   string
	waits  stream.Waits
	memory []int64 // the most, by broker
	climbs []climb // by broker; empty if it was too short to tell
	limit  int64
	errors map[string]float64 // given by the brokers to anybody, by reason
}

// watched is everything that is watched: calm, each load, all of them, calm.
func (r *overload) watched(ctx context.Context) error {
	if err := r.phase(ctx, "before", calm, nil); err != nil {
		return err
	}
	for _, b := range r.cluster.Brokers {
		s, err := look(ctx, b)
		if err != nil {
			return err
		}
		r.before = append(r.before, s)
	}
	for _, name := range order {
		if !slices.Contains(r.o.phases, name) {
			continue
		}
		d := r.o.duration
		if name == "topics" {
			d *= 2 // thousands of them
		}
		if err := r.under(ctx, name, d, name); err != nil {
			return err
		}
	}
	if slices.Contains(r.o.phases, together) {
		if err := r.under(ctx, "all at once", 2*r.o.duration, order...); err != nil {
			return err
		}
	}
	if err := r.comeBack(ctx); err != nil {
		return err
	}
	return r.phase(ctx, "after", calm, nil)
}

// under watches a phase with loads, and looks afterwards whether what was acknowledged to them is there.
func (r *overload) under(ctx context.Context, name string, d time.Duration, names ...string) error {
	began := time.Now()
	ends, err := r.ends(ctx)
	if err != nil {
		return err
	}
	r.nth++
	n := map[string]int{}
	var up []*running
	for _, l := range names {
		n[l] = r.o.n[l]
		var got *running
		if got, err = startLoad(ctx, l, loadOptions{seeds: r.cluster.Seeds(), n: n[l], rate: times * r.capacity, run: r.nth}); err != nil {
			break
		}
		up = append(up, got)
	}
	if err == nil {
		err = r.phase(ctx, name, d, n)
	}
	for _, l := range up { // the loads end, and tell
		t, lerr := l.end()
		if lerr != nil {
			err = errors.Join(err, lerr)
			continue
		}
		r.add(l.name, t)
		if l.name == "producers" {
			r.beyond(name, t)
		}
	}
	fmt.Printf("%-12s took %s in all\n", name, time.Since(began).Round(time.Second))
	if err != nil {
		return err
	}
	return r.kept(ctx, name, ends, r.nth)
}

// beyond looks whether producers asked for more than what the brokers can do: as many times what they got through, and their buffers were full for
// most of the time, so that the brokers were never without work.
func (r *overload) beyond(name string, t *tally) {
	due, taken, acked := t.Counts["due"], t.Counts["taken by clients"], t.Counts["acknowledged"]
	waited, all := t.Counts["ms waited for room"], t.Counts["ms in all"]
	if acked == 0 || due < times*acked || taken >= due || 2*waited < all {
		r.violated("%s: %d records were due, clients took %d, %d were acknowledged, and producers waited for room for %d of %d ms: that is not %d times capacity",
			name, due, taken, acked, waited, all, times)
	}
}

// fetching looks whether as many consumers as were to never read are still there, beside those of before.
func (r *overload) fetching(ctx context.Context, name string, n int) error {
	if n == 0 {
		return nil
	}
	open := 0.0
	for i, b := range r.cluster.Brokers {
		s, err := look(ctx, b)
		if err != nil {
			return err
		}
		open += s.fetches - r.before[i].fetches
	}
	if open < float64(n) {
		r.violated("%s: %.0f consumers more than before have a stream at the end, of %d that do not read", name, open, n)
	}
	return nil
}

func (r *overload) phase(ctx context.Context, name string, d time.Duration, n map[string]int) error {
	// What Go has freed stays with the process for a while: a limit holds for what comes after, too. That it was freed is looked at
	// in comeBack.
	r.limit = max(r.limit, allowed(n))
	p := phase{name: name, limit: r.limit, errors: map[string]float64{}}
	given, err := r.given(ctx)
	if err != nil {
		return err
	}
	w := watchMemory(ctx, r.cluster)
	r.well.Waits() // what was before
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.well.Failed():
		err = fmt.Errorf("an error reached the well-behaved client while %q: %w", name, r.well.Err())
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.waits = r.well.Waits()
	err = errors.Join(err, r.fetching(ctx, name, n["readers"]))
	var merr error
	p.memory, p.climbs, merr = w.end(d)
	if err := errors.Join(err, merr); err != nil {
		return err
	}
	after, err := r.given(ctx)
	if err != nil {
		return err
	}
	for reason, v := range after {
		if v > given[reason] {
			p.errors[reason] = v - given[reason]
		}
	}
	r.phases = append(r.phases, p)
	fmt.Println(p.line())
	return nil
}

// given adds up the errors that the brokers gave to clients.
func (r *overload) given(ctx context.Context) (map[string]float64, error) {
	all := map[string]float64{}
	for _, b := range r.cluster.Brokers {
		s, err := look(ctx, b)
		if err != nil {
			return nil, err
		}
		for reason, v := range s.errors {
			all[reason] += v
		}
	}
	return all, nil
}

func (r *overload) add(name string, t *tally) {
	all := r.tallies[name]
	if all == nil {
		all = newTally()
		r.tallies[name] = all
	}
	for k, v := range t.Counts {
		all.Counts[k] += v
	}
	for k, v := range t.Errors {
		all.Errors[k] += v
	}
	r.sent = append(r.sent, t.Sent...)
	if all.Worst == "" {
		all.Worst = t.Worst
	}
}
