// Command rolling restarts all three brokers in turn, as an upgrade does, while a client sends and another reads: SIGTERM, a start, and the
// next one once the broker is ready and leads again what it led before. For each restart it prints the longest wait for an
// acknowledgement of a record sent alone to one of the partitions, which one that was, and when the record was sent, in seconds after
// the broker was told to stop and as the brokers' logs tell the time. It fails if an error reaches a user of the SDK, if a record is lost or comes twice, or if a wait is
// longer than -most. With -statefulset it restarts them as Kubernetes would: the next one once the broker says that nothing is
// under-replicated.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/source"
	"github.com/runnel-io/runnel/bench/stream"
	"github.com/runnel-io/runnel/bench/workload"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const topic = "rolling"

type options struct {
	root, brokerd      string
	rounds, partitions int
	rate               int
	most               time.Duration
	statefulSet        bool
}

func main() {
	var o options
	flag.StringVar(&o.root, "source", "", "folder whose files are sent (default: the Go standard library's source)")
	flag.StringVar(&o.brokerd, "brokerd", "", "program to run (default: the one of this source)")
	flag.IntVar(&o.rounds, "rounds", 2, "how often each broker is restarted")
	flag.IntVar(&o.partitions, "partitions", 24, "partitions of the topic")
	flag.IntVar(&o.rate, "rate", 10_000, "records a second, beside one at a time on each partition")
	flag.DurationVar(&o.most, "most", 500*time.Millisecond, "longest wait for an acknowledgement that passes")
	flag.BoolVar(&o.statefulSet, "statefulset", false, "restart them as Kubernetes updates a StatefulSet: see update")
	proc.Main("rolling", 10*time.Minute, func(ctx context.Context, dir string) error { return rolling(ctx, o, dir) })
}

func rolling(ctx context.Context, o options, dir string) (err error) {
	if o.root, err = source.Root(ctx, o.root); err != nil {
		return err
	}
	files, err := source.List(o.root)
	if err != nil {
		return err
	}
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3, Brokerd: o.brokerd})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	if err := workload.CreateTopic(ctx, cluster.Seeds(), topic, int32(o.partitions)); err != nil {
		return err
	}
	s, err := stream.Start(ctx, stream.Options{
		Seeds: cluster.Seeds(), Topic: topic, Partitions: int32(o.partitions), Root: o.root, Files: files, Rate: o.rate, Every: 20 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	restart := restarts
	if o.statefulSet {
		restart = update
	}
	took, err := restart(ctx, o, cluster, s)
	if err != nil {
		return s.Abort(err)
	}
	v, err := s.Stop(ctx)
	if err != nil {
		return err
	}
	reread, err := s.Reread(ctx, cluster.Seeds())
	if err != nil {
		return err
	}
	slices.Sort(took)
	slowest := took[len(took)-1]
	fmt.Printf("%d restarts: longest wait %d ms, median %d ms; %d records acknowledged, no error, lost %d, duplicated %d\n", len(took),
		slowest.Milliseconds(), took[len(took)/2].Milliseconds(), s.Acked(), max(v.Lost, reread.Lost), max(v.Duplicated, reread.Duplicated))
	if err := errors.Join(v.Err(), reread.Err()); err != nil {
		return err
	}
	if slowest > o.most {
		return fmt.Errorf("a wait of %d ms is longer than %s", slowest.Milliseconds(), o.most)
	}
	return nil
}

// restarts restarts each broker in turn and answers the longest wait at each restart, the leaders' way back included.
func restarts(ctx context.Context, o options, cluster *proc.Cluster, s *stream.Stream) (longest []time.Duration, err error) {
	return rounds(ctx, o, cluster, s, cluster.Brokers, func(cl *client.Client, b *proc.Broker, began time.Time) (time.Duration, string, error) {
		if err := b.Ready(ctx); err != nil {
			return 0, "", err
		}
		ready := time.Since(began)
		w := s.Waits()
		back, err := home(ctx, cl, s)
		if err != nil {
			return 0, "", err
		}
		h := s.Waits()
		return max(w.Longest, h.Longest), fmt.Sprintf("ready after %4d ms, longest wait %s; leaders back after %4.1f s, longest wait %s, p99 %5.1f ms",
			ready.Milliseconds(), where(w, began), back.Seconds(), where(h, began), float64(h.P99)/1e6), nil
	})
}

// rounds stops and starts the brokers in their order, o.rounds times. After each start it has then wait for what has to be waited for, and say what
// there was and how long the longest wait was.
func rounds(ctx context.Context, o options, cluster *proc.Cluster, s *stream.Stream, order []*proc.Broker,
	then func(cl *client.Client, b *proc.Broker, began time.Time) (longest time.Duration, says string, err error)) (all []time.Duration, err error) {
	cl, err := client.New(cluster.Seeds())
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	if _, err := home(ctx, cl, s); err != nil {
		return nil, err
	}
	for round := 1; round <= o.rounds; round++ {
		for _, b := range order {
			s.Waits()
			began := time.Now()
			if err := b.Stop(ctx); err != nil {
				return nil, err
			}
			stopped := time.Since(began)
			if err := b.Start(); err != nil {
				return nil, err
			}
			longest, says, err := then(cl, b, began)
			if err != nil {
				return nil, err
			}
			all = append(all, longest)
			fmt.Printf("round %d, broker %d: stopped after %4d ms, %s\n", round, b.Number, stopped.Milliseconds(), says)
		}
	}
	return all, nil
}

// where tells of the longest wait which partition had it, and when its record was sent.
func where(w stream.Waits, began time.Time) string {
	return fmt.Sprintf("%4d ms (partition %2d, sent after %4.2f s, at %s)", w.Longest.Milliseconds(), w.Partition, max(0, w.Sent.Sub(began).Seconds()),
		w.Sent.UTC().Format("15:04:05.000"))
}

// homeWithin bounds the wait for leaders to go back: brokers that came back get none for a while.
const homeWithin = time.Minute

// home waits until every leader is where it is preferred.
func home(ctx context.Context, cl *client.Client, s *stream.Stream) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, homeWithin)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		away := 0
		d, err := cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: topic})
		for _, p := range d.GetPartitions() {
			if p.GetLeader() != p.GetReplicas()[0] {
				away++
			}
		}
		if err == nil && away == 0 {
			return time.Since(began), nil
		}
		select {
		case <-tick.C:
		case <-s.Failed():
			return 0, s.Err()
		case <-ctx.Done():
			return 0, fmt.Errorf("%d leaders are not back: %w", away, errors.Join(ctx.Err(), err))
		}
	}
}
