package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/workload"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	// pause is between two records of the writer that has many in flight: each partition gets one each pause times the partitions.
	pause = 2 * time.Millisecond
	// inFlight is more than what is sent during any outage that passes.
	inFlight = 20_000
	// warmWithin bounds the wait for the first records of each partition.
	warmWithin = 30 * time.Second
	lookEvery  = 20 * time.Millisecond
)

// Options of a trial.
type Options struct {
	Seeds      []string // of the clients
	Dir        string   // on the brokers' disk
	Topic      string   // is created
	Partitions int32
	Makers     int // clients that create other topics and delete them
}

// Trial is one under way.
type Trial struct {
	o      Options
	topics []workload.Topic
	rec    *check.Recorder
	w      *workload.Workload
	disk   *disk
	watch  chan error // what the watch over the disk ended with
	stop   context.CancelFunc
	tally  map[string]workload.Tally // after End
	h      check.History             // the same
}

// Start creates the topic, starts the clients, and returns when each partition has taken records and its end was asked for since: what is done next
// may be over before the clients have got anything else answered.
func Start(ctx context.Context, o Options) (*Trial, error) {
	t := &Trial{o: o, topics: []workload.Topic{{Name: o.Topic, Partitions: o.Partitions}}, rec: check.NewRecorder(), watch: make(chan error, 1)}
	if err := workload.CreateTopics(ctx, workload.Target{Seeds: o.Seeds}, t.topics); err != nil {
		return nil, fmt.Errorf("topic %s: %w", o.Topic, err)
	}
	var watch func(context.Context) error
	var err error
	if t.disk, watch, err = newDisk(o.Dir, t.rec.Now); err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(ctx)
	t.stop = stop
	go func() {
		defer close(t.watch)
		t.watch <- watch(life)
	}()
	t.w, err = workload.Start(life, workload.Options{
		Seeds: o.Seeds, Topics: t.topics, Writers: 1, InFlight: inFlight, Pause: pause, OneByOnes: 1, Readers: 1, Pollers: 1, Askers: 1,
		Makers: o.Makers, Making: makesWithin + mostStill,
	}, t.rec)
	if err != nil {
		stop()
		return nil, errors.Join(err, <-t.watch)
	}
	if err := t.Advanced(ctx, warmWithin); err != nil {
		return nil, t.Abort(err)
	}
	if err := t.asked(ctx, warmWithin); err != nil {
		return nil, t.Abort(err)
	}
	return t, nil
}

// asked waits until a question for the ends was answered that was put after the call. The one before it may be under way.
func (t *Trial) asked(ctx context.Context, within time.Duration) error {
	before := t.w.Tallies()[workload.OpEnd].OK
	return Until(ctx, within, func(context.Context) error {
		if t.w.Tallies()[workload.OpEnd].OK < before+2 {
			return errors.New("no question for the ends of partitions is answered")
		}
		return nil
	})
}

// Now is the time since the trial's start.
func (t *Trial) Now() time.Duration { return t.rec.Now() }

// Advanced waits until each partition has acknowledged records that were not acknowledged when it was called.
func (t *Trial) Advanced(ctx context.Context, within time.Duration) error {
	before := t.w.AckedOf()
	return Until(ctx, within, func(context.Context) error {
		for slot, n := range t.w.AckedOf() {
			if n <= before[slot] {
				return fmt.Errorf("%s/%d takes no record", t.o.Topic, slot)
			}
		}
		return nil
	})
}

// Abort ends everything at once. It answers why, with what went wrong in the clients.
func (t *Trial) Abort(why error) error {
	t.stop()
	return errors.Join(why, t.w.Abort(), <-t.watch)
}

// Until asks now and then what is missing until nothing is. Its error is what was missing last.
func Until(ctx context.Context, within time.Duration, missing func(context.Context) error) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	why := errors.New("nobody was asked")
	for first := true; ; first = false {
		now := missing(ctx)
		if now == nil {
			return nil
		}
		if first || ctx.Err() == nil { // later it is the end of ctx
			why = now
		}
		if proc.Wait(ctx, lookEvery) != nil {
			return fmt.Errorf("after %.1f s: %w", time.Since(began).Seconds(), why)
		}
	}
}

// Leaders answers which broker leads each partition of the topic.
func (t *Trial) Leaders(ctx context.Context, cl *client.Client) (map[int32]int32, error) {
	d, err := cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: t.o.Topic})
	if err != nil {
		return nil, err
	}
	out := map[int32]int32{}
	for _, p := range d.GetPartitions() {
		if p.GetLeader() > 0 {
			out[p.GetPartition()] = p.GetLeader()
		}
	}
	return out, nil
}

// Home says what keeps the topic from having all its replicas in step and its leaders where they are preferred; nil if nothing does.
func (t *Trial) Home(ctx context.Context, cl *client.Client) error {
	d, err := cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: t.o.Topic})
	if err != nil {
		return err
	}
	for _, p := range d.GetPartitions() {
		replicas := p.GetReplicas()
		switch {
		case len(replicas) != copies || len(p.GetInSync()) != copies:
			return fmt.Errorf("%s/%d: %d of %d replicas are in step: %s", t.o.Topic, p.GetPartition(), len(p.GetInSync()), len(replicas), p.GetReason())
		case p.GetLeader() != replicas[0]:
			return fmt.Errorf("%s/%d: broker %d leads, not broker %d", t.o.Topic, p.GetPartition(), p.GetLeader(), replicas[0])
		}
	}
	return nil
}

// copies is how many replicas package workload gives a partition.
const copies = 3
