package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/stream"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// watcher looks at a cluster that should stay as it is.
type watcher struct {
	cluster    *proc.Cluster
	cl         *client.Client
	dir        string
	partitions int
	placed     string // where all replicas were to begin with
	wrong      []string
}

func (w *watcher) begin(ctx context.Context) (err error) {
	w.placed, err = w.placement(ctx)
	return err
}

// placement writes down where all replicas are, and moves under way.
func (w *watcher) placement(ctx context.Context) (string, error) {
	d, err := w.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, p := range d.GetPartitions() {
		on := slices.Sorted(slices.Values(p.GetReplicas()))
		fmt.Fprintf(&out, "%d on %v", p.GetPartition(), on)
		if len(p.GetLearners()) > 0 || p.GetMove() != nil {
			fmt.Fprintf(&out, ", learners %v, moving: %v", p.GetLearners(), p.GetMove())
		}
		out.WriteByte('\n')
	}
	return out.String(), nil
}

// found is what happened in a while.
type found struct {
	d                                      time.Duration
	waits                                  stream.Waits
	campaigns, sessions, stepDowns, silent float64
	moves                                  float64
	suspected, marked, refuted             int // by gossip
	fewest                                 float64
	busy                                   float64 // share of all processors' time
	brokers                                float64 // processors that the brokers used
}

// counters are read from the brokers' metrics and added up.
var counters = map[string]func(*found) *float64{
	"runnel_raft_campaigns_total":            func(f *found) *float64 { return &f.campaigns },
	"runnel_raft_sessions_total":             func(f *found) *float64 { return &f.sessions },
	"runnel_raft_step_downs_total":           func(f *found) *float64 { return &f.stepDowns },
	"runnel_raft_silences_total":             func(f *found) *float64 { return &f.silent },
	"runnel_controller_moves":                func(f *found) *float64 { return &f.moves },
	"runnel_controller_moves_finished_total": func(f *found) *float64 { return &f.moves },
}

// count adds up what these brokers have counted and logged so far.
func (w *watcher) count(ctx context.Context, brokers []*proc.Broker) (f found, err error) {
	for _, b := range brokers {
		for name, to := range counters {
			v, err := b.Metric(ctx, name)
			if err != nil {
				return f, err
			}
			*to(&f) += v
		}
		raw, err := os.ReadFile(filepath.Join(w.dir, fmt.Sprintf("broker-%d.log", b.Number)))
		if err != nil {
			return f, err
		}
		text := string(raw)
		f.suspected += strings.Count(text, "has failed, no acks received")
		f.marked += strings.Count(text, "as failed, suspect timeout reached")
		f.refuted += strings.Count(text, "Refuting a suspect message")
		u, err := b.Usage()
		if err != nil {
			return f, err
		}
		f.brokers += u.CPU.Seconds()
	}
	return f, nil
}

// watch looks for a while, and answers what happened in it.
func (w *watcher) watch(ctx context.Context, s *stream.Stream, name string, d time.Duration) (found, error) {
	before, err := w.count(ctx, w.cluster.Brokers)
	if err != nil {
		return found{}, err
	}
	busy, all, err := processors()
	if err != nil {
		return found{}, err
	}
	s.Waits()
	began := time.Now()
	fewest := float64(len(w.cluster.Brokers))
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for time.Since(began) < d {
		select {
		case <-tick.C:
		case <-s.Failed():
			return found{}, fmt.Errorf("an error reached a client: %w", s.Err())
		case <-ctx.Done():
			return found{}, ctx.Err()
		}
		now, err := w.placement(ctx)
		if err != nil {
			return found{}, err
		}
		if now != w.placed && len(w.wrong) < 5 {
			w.wrong = append(w.wrong, fmt.Sprintf("after %s replicas are elsewhere:\n%sand were:\n%s", time.Since(began).Round(time.Second), now, w.placed))
		}
		for _, b := range w.cluster.Brokers {
			n, err := b.Metric(ctx, "runnel_gossip_members")
			if err != nil {
				return found{}, err
			}
			fewest = min(fewest, n)
		}
	}
	f, err := w.count(ctx, w.cluster.Brokers)
	if err != nil {
		return found{}, err
	}
	busyNow, allNow, err := processors()
	if err != nil {
		return found{}, err
	}
	f.d, f.waits, f.fewest = time.Since(began), s.Waits(), fewest
	f.busy = (busyNow - busy) / (allNow - all)
	f.brokers = (f.brokers - before.brokers) / f.d.Seconds()
	f.suspected, f.marked, f.refuted = f.suspected-before.suspected, f.marked-before.marked, f.refuted-before.refuted
	f.campaigns, f.sessions, f.stepDowns = f.campaigns-before.campaigns, f.sessions-before.sessions, f.stepDowns-before.stepDowns
	f.silent, f.moves = f.silent-before.silent, f.moves-before.moves
	for _, what := range f.judge(len(w.cluster.Brokers), w.partitions) {
		w.wrong = append(w.wrong, name+": "+what)
	}
	return f, nil
}

// What passes. Gossip is slow to suspect so that a busy broker is never given up, so nobody may be. That brokers do not hear each other for half a
// second, and elect, is what keeps failover short. On processors that others use up it may happen by bad luck, and costs users a pause of half a
// second: once a minute in all, and each partition (with the controller's) once in ten minutes. More often is a habit, not bad luck.
const (
	minutesPerSilence  = 1
	minutesPerElection = 10 // of one partition
)

// judge tells what must not have happened to brokers that were only slow.
func (f found) judge(brokers, partitions int) (wrong []string) {
	most := func(per float64) float64 { return math.Ceil(f.d.Minutes() / per) }
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if f.moves > 0 {
		say("%.0f moves were made of replicas whose brokers were only slow", f.moves)
	}
	if f.marked > 0 || f.fewest < float64(brokers) {
		say("gossip gave up a broker that was only slow: %d times, and knew of %.0f of %d at least", f.marked, f.fewest, brokers)
	}
	if m := most(minutesPerSilence); f.silent > m {
		say("brokers were taken for silent %.0f times in %s, %.0f would be bad luck", f.silent, f.d.Round(time.Second), m)
	}
	if m := most(minutesPerElection) * float64(partitions+1); f.campaigns > m || f.stepDowns > m {
		say("%.0f elections were begun and %.0f leaders stepped down in %s, %.0f would be bad luck", f.campaigns, f.stepDowns, f.d.Round(time.Second), m)
	}
	if f.waits.Probes == 0 {
		say("nothing was acknowledged")
	}
	return wrong
}

// controlWithin bounds the wait for gossip to give up a broker that does stand still.
const controlWithin = 2 * time.Minute

// control has one broker stand still, which is what starvation must not look like. Now it must be given up, be taken for silent, and leaders be
// elected, and each must be counted; else it says nothing that none was before. The broker is left as it is.
func (w *watcher) control(ctx context.Context) error {
	last := len(w.cluster.Brokers) - 1
	others := w.cluster.Brokers[:last]
	before, err := w.count(ctx, others)
	if err != nil {
		return err
	}
	if err := w.cluster.Brokers[last].Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	began := time.Now()
	tick := time.NewTicker(lookEvery / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now, err := w.count(ctx, others)
		if err != nil {
			return err
		}
		marked, silent, campaigns := now.marked-before.marked, now.silent-before.silent, now.campaigns-before.campaigns
		if marked > 0 && silent > 0 && campaigns > 0 {
			fmt.Printf("for comparison, a broker that stands still: gave one up %d times, taken for silent %.0f times, %.0f elections begun, after %s\n",
				marked, silent, campaigns, time.Since(began).Round(time.Second))
			return nil
		}
		if time.Since(began) > controlWithin {
			w.wrong = append(w.wrong, fmt.Sprintf("a broker stood still for %s: given up %d times, taken for silent %.0f times, %.0f elections: these counts show nothing",
				controlWithin, marked, silent, campaigns))
			return nil
		}
	}
}

func (f found) line(name string) string {
	return fmt.Sprintf("%s, %s: processors busy %.0f%%, brokers used %.2f of them; waits p50 %.0f ms, p99 %.0f ms, longest %.0f ms; %.0f elections begun, %.0f leaders' sessions, %.0f step-downs; "+
		"a broker was taken for silent %.0f times; gossip suspected one %d times, gave one up %d times, was corrected %d times, knew of %.0f at least",
		name, f.d.Round(time.Second), 100*f.busy, f.brokers, f.waits.P50.Seconds()*1000, f.waits.P99.Seconds()*1000, f.waits.Longest.Seconds()*1000,
		f.campaigns, f.sessions, f.stepDowns, f.silent, f.suspected, f.marked, f.refuted, f.fewest)
}

// processors reads how much time all processors have been busy, and there was in all, in ticks.
func processors() (busy, all float64, err error) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	for i, f := range strings.Fields(line)[1:] {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, 0, err
		}
		if i > 7 { // guests are in the others already
			break
		}
		all += v
		if i != 3 && i != 4 { // idle, and waiting for a disk
			busy += v
		}
	}
	return busy, all, nil
}
