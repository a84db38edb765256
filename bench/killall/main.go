// Command killall kills all three brokers at once, again and again, under load, and then checks every promise that a client
// could see broken (package check). kill -9 keeps the page cache, so this is about processes that die, not about power; the
// tests of partition/raftlog drop unsynced writes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/workload"
)

const topic = "killall"

func main() {
	rounds := flag.Int("rounds", 10, "how often everything is killed")
	each := flag.Int64("acked", 2000, "records acknowledged in each round before the kill")
	proc.Main("killall", 10*time.Minute, func(ctx context.Context, dir string) error { return killall(ctx, dir, *rounds, *each) })
}

func killall(ctx context.Context, dir string, rounds int, each int64) (err error) {
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	const partitions = 12
	topics := []workload.Topic{{Name: topic, Partitions: partitions}}
	if err := workload.CreateTopics(ctx, cluster.Seeds(), topics); err != nil {
		return err
	}
	rec := check.NewRecorder()
	w, err := workload.Start(ctx, workload.Options{
		Seeds: cluster.Seeds(), Topics: topics, Writers: 4, InFlight: 200, Pause: time.Millisecond, Readers: 2, Askers: 2,
	}, rec)
	if err != nil {
		return err
	}
	for round := 1; round <= rounds; round++ {
		if err := acked(ctx, w, w.Acked()+each); err != nil {
			return errors.Join(fmt.Errorf("round %d: %w", round, err), w.Abort())
		}
		if err := cluster.KillAll(); err != nil {
			return errors.Join(err, w.Abort())
		}
		for _, b := range cluster.Brokers {
			if err := b.Start(); err != nil {
				return errors.Join(err, w.Abort())
			}
		}
		fmt.Printf("round %d: all three killed and started, %d records acknowledged so far\n", round, w.Acked())
	}
	if err := acked(ctx, w, w.Acked()+each); err != nil {
		return errors.Join(fmt.Errorf("after the last round: %w", err), w.Abort())
	}
	if err := w.Stop(); err != nil {
		return err
	}
	h := rec.History()
	if h.Final, err = workload.Final(ctx, cluster.Seeds(), topics); err != nil {
		return err
	}
	if h.Replicas, err = workload.AllReplicas(ctx, cluster.Seeds(), topics, h.Final); err != nil {
		return err
	}
	return report(h, rounds)
}

// acked waits until n records are acknowledged.
func acked(ctx context.Context, w *workload.Workload, n int64) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for w.Acked() < n {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d records acknowledged, waiting for %d: %w", w.Acked(), n, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

func report(h check.History, rounds int) error {
	outcomes := map[check.Outcome]int{}
	for _, a := range h.Appends {
		outcomes[a.Outcome]++
	}
	fmt.Printf("%d records sent: %d acknowledged, %d unknown, %d failed; %d reads, %d end offsets\n",
		len(h.Appends), outcomes[check.OK], outcomes[check.Info], outcomes[check.Fail], len(h.Reads), len(h.Ends))
	if 2*outcomes[check.OK] < len(h.Appends) {
		return errors.New("under half of the records were acknowledged: the run shows nothing")
	}
	violations := check.Verify(h)
	for _, v := range violations {
		fmt.Println(v)
	}
	fmt.Printf("%d rounds, %d violations of I1-I14 and I16\n", rounds, len(violations))
	if len(violations) > 0 {
		return errors.New("promises were broken")
	}
	return nil
}
