package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/workload"
)

const (
	// readWithin bounds the wait of the reader that follows, and of replicas, for what was acknowledged.
	readWithin  = 30 * time.Second
	stopsWithin = time.Minute
	// makesWithin is how long it may take to make a topic or to delete one.
	makesWithin = 5 * time.Second
	// mostStill is how much of a wait may be the machine's. One that hangs for longer shows nothing.
	mostStill = 3 * time.Second
)

// promised are the invariants that a trial must have facts for.
var promised = []string{"I1", "I2", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I13", "I14"}

// Verdict is what a trial found.
type Verdict struct {
	Acked         int
	Lost, Doubled int
	Failed        []string // calls that failed, by kind, and invariants that nothing was compared for
	Violations    []check.Violation
	appends       []check.Append
	still         []span
}

// Err tells what a trial did not pass for; nil if it did.
func (v Verdict) Err() error {
	var errs []error
	for _, x := range v.Violations {
		errs = append(errs, errors.New(x.String()))
	}
	for _, f := range v.Failed {
		errs = append(errs, errors.New(f))
	}
	return errors.Join(errs...)
}

// Wait is how long a record was on its way to its acknowledgement.
type Wait struct {
	Long      time.Duration // without Still
	Still     time.Duration // while the machine hung: its disk committed nothing for anyone
	Partition int32
	Sent      time.Duration // since the trial's start
}

// String is for a line about the longest wait.
func (w Wait) String() string {
	if w.Still == 0 {
		return fmt.Sprintf("%d ms", w.Long.Milliseconds())
	}
	return fmt.Sprintf("%d ms and %d ms while the machine hung", w.Long.Milliseconds(), w.Still.Milliseconds())
}

// Longest is the longest wait of the records that were sent in a span of the trial, to partitions that of answers true for.
func (v Verdict) Longest(from, to time.Duration, of func(partition int32) bool) (worst Wait) {
	for _, a := range v.appends {
		if a.Outcome != check.OK || a.Invoke >= to || a.Return <= from || !of(a.Partition) {
			continue
		}
		still := min(within(v.still, span{a.Invoke, a.Return}), mostStill)
		if w := (Wait{a.Return - a.Invoke - still, still, a.Partition, a.Invoke}); w.Long > worst.Long {
			worst = w
		}
	}
	return worst
}

// late names the topics that took longer to make or to delete than they may, without what the machine hung meanwhile.
func (v Verdict) late(topics []check.TopicOp) (out []string) {
	for _, o := range topics {
		still := min(within(v.still, span{o.Invoke, o.Return}), mostStill)
		if w := (Wait{Long: o.Return - o.Invoke - still, Still: still}); w.Long > makesWithin {
			out = append(out, fmt.Sprintf("topic %s was made or deleted in %s, more than %s", o.Name, w, makesWithin))
		}
	}
	return out
}

// Any is for Longest: all partitions.
func Any(int32) bool { return true }

// End has the clients finish, reads everything and judges.
func (t *Trial) End(ctx context.Context) (Verdict, error) {
	ended := make(chan struct{})
	go func() { // ends with the clients, which Abort ends
		t.w.StopSending()
		close(ended)
	}()
	limit := time.NewTimer(stopsWithin)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		return Verdict{}, t.Abort(fmt.Errorf("records are unanswered %s after the last was sent", stopsWithin))
	case <-ctx.Done():
		return Verdict{}, t.Abort(ctx.Err())
	}
	if err := Until(ctx, readWithin, func(context.Context) error {
		if n := t.w.Unread(); n > 0 {
			return fmt.Errorf("a reader that follows lacks %d acknowledged records", n)
		}
		return nil
	}); err != nil {
		return Verdict{}, t.Abort(err)
	}
	if err := t.Abort(nil); err != nil {
		return Verdict{}, err
	}
	t.tally, t.h = t.w.Tallies(), t.rec.History()
	v, err := t.Again(ctx)
	if err != nil {
		return Verdict{}, err
	}
	for _, kind := range []string{workload.OpAppend, workload.OpSingle, workload.OpMake, workload.OpDelete} {
		if n := t.tally[kind]; n.Fail+n.Info > 0 {
			v.Failed = append(v.Failed, fmt.Sprintf("%s: %d failed, %d unknown, of %d", kind, n.Fail, n.Info, n.Fail+n.Info+n.OK))
		}
	}
	v.Failed = append(v.Failed, v.late(t.h.Topics)...)
	if t.o.Makers > 0 && (t.tally[workload.OpMake].OK == 0 || t.tally[workload.OpDelete].OK == 0) {
		v.Failed = append(v.Failed, "no topic was created and deleted meanwhile")
	}
	return v, nil
}

// Again reads the topic as a client does and from each of its brokers, and judges what was recorded until End by that.
func (t *Trial) Again(ctx context.Context) (Verdict, error) {
	h := t.h
	if err := Until(ctx, readWithin, func(ctx context.Context) error {
		var err error
		if h.Final, err = workload.Final(ctx, workload.Target{Seeds: t.o.Seeds}, t.topics); err != nil {
			return fmt.Errorf("reading as a client: %w", err)
		}
		h.Replicas, err = workload.AllReplicas(ctx, workload.Target{Seeds: t.o.Seeds}, t.topics, h.Final)
		return err
	}); err != nil {
		return Verdict{}, err
	}
	found, facts := check.Count(h)
	v := Verdict{Violations: found, appends: h.Appends, still: t.disk.still}
	for _, a := range h.Appends {
		if a.Outcome == check.OK {
			v.Acked++
		}
	}
	for _, x := range found {
		switch x.Invariant {
		case "I1", "I2":
			v.Lost++
		case "I6":
			v.Doubled++
		}
	}
	if missing := facts.Missing(promised...); len(missing) > 0 {
		v.Failed = append(v.Failed, "nothing was compared for "+strings.Join(missing, ", "))
	}
	for p, replicas := range h.Replicas {
		if len(replicas) != copies {
			v.Failed = append(v.Failed, fmt.Sprintf("partition %d was read from %d brokers, not %d", p, len(replicas), copies))
		}
	}
	slices.Sort(v.Failed)
	return v, nil
}
