// Command failover measures how long a partition is without acknowledgements when the broker that leads it gets SIGKILL:
// three real brokers, one record at a time on each of 12 partitions, the leader of most killed again and again. For each
// try it prints the time from the kill to the first acknowledgement of a record sent after it, on the slowest of the
// partitions that the broker led.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const topic = "failover"

func main() {
	tries := flag.Int("tries", 20, "how often a leader is killed")
	partitions := flag.Int("partitions", 12, "partitions of the topic")
	proc.Main("failover", 10*time.Minute, func(ctx context.Context, dir string) error { return failover(ctx, dir, *tries, int32(*partitions)) })
}

func failover(ctx context.Context, dir string, tries int, partitions int32) (err error) {
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	cl, err := client.New(cluster.Seeds())
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, err := cl.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{Name: topic, Partitions: partitions, ReplicationFactor: 3}); err != nil {
		return err
	}
	w := startWriters(ctx, cl, partitions)
	defer w.stop()
	var took []time.Duration
	for try := 1; try <= tries; try++ {
		if err := w.allAcked(ctx, time.Now()); err != nil {
			return err
		}
		victim, led, err := leaderOfMost(ctx, cl, cluster)
		if err != nil {
			return err
		}
		killed := time.Now()
		if err := victim.Kill(); err != nil {
			return err
		}
		gone := time.Since(killed)
		slowest, err := w.firstAcks(ctx, killed, led)
		if err != nil {
			return fmt.Errorf("try %d: %w", try, err)
		}
		took = append(took, slowest)
		fmt.Printf("try %2d: broker %d led %2d partitions, gone after %3d ms, next acknowledgement on the slowest after %4d ms\n",
			try, victim.Number, len(led), gone.Milliseconds(), slowest.Milliseconds())
		if err := victim.Start(); err != nil {
			return err
		}
		if err := victim.Ready(ctx); err != nil {
			return err
		}
	}
	slices.Sort(took)
	fmt.Printf("SIGKILL to next acknowledgement over %d tries: median %d ms, slowest %d ms\n",
		len(took), took[len(took)/2].Milliseconds(), took[len(took)-1].Milliseconds())
	return nil
}

// leaderOfMost finds the broker that leads most partitions, and which.
func leaderOfMost(ctx context.Context, cl *client.Client, cluster *proc.Cluster) (*proc.Broker, []int32, error) {
	md, err := cl.Metadata(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	led := map[int32][]int32{}
	most := int32(0)
	for _, t := range md.GetTopics() {
		for _, p := range t.GetPartitions() {
			l := p.GetLeaderId()
			led[l] = append(led[l], p.GetPartition())
			if l > 0 && len(led[l]) > len(led[most]) {
				most = l
			}
		}
	}
	for _, b := range md.GetBrokers() {
		if b.GetId() == most {
			victim, err := cluster.ByAddress(b.GetAddress())
			return victim, led[most], err
		}
	}
	return nil, nil, errors.New("no partition has a leader")
}
