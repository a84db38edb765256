// Command many measures what many partitions cost: how long a topic of a thousand partitions with three replicas takes to
// create, what the three brokers use while nobody writes, how latency grows with the number of partitions that are written to, and
// how long brokers that were killed take to serve all of them again.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/workload"
	"github.com/runnel-io/runnel/rpc/client"
)

const topic = "many"

type options struct {
	partitions int
	watch      time.Duration
	curve      bool
	restart    bool
}

func main() {
	var o options
	flag.IntVar(&o.partitions, "partitions", 1000, "partitions of the topic")
	flag.DurationVar(&o.watch, "watch", 20*time.Second, "how long the idle brokers are watched")
	flag.BoolVar(&o.curve, "curve", true, "measure latency with 10, 100, 500, ... partitions written to")
	flag.BoolVar(&o.restart, "restart", true, "kill all brokers at the end and time their way back")
	proc.Main("many", 15*time.Minute, func(ctx context.Context, dir string) error { return many(ctx, o, dir) })
}

func many(ctx context.Context, o options, dir string) (err error) {
	brokerctl, err := proc.Build(ctx, dir, "brokerctl")
	if err != nil {
		return err
	}
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	if err := create(ctx, cluster, o.partitions); err != nil {
		return err
	}
	if err := idle(ctx, cluster, o.watch); err != nil {
		return err
	}
	for _, active := range []int{10, 100, 500, 1000} {
		if !o.curve || active > o.partitions {
			continue
		}
		if err := latency(ctx, brokerctl, cluster, active); err != nil {
			return err
		}
	}
	if !o.restart {
		return nil
	}
	return restart(ctx, cluster, o.partitions)
}

func create(ctx context.Context, cluster *proc.Cluster, partitions int) error {
	began := time.Now()
	if err := workload.CreateTopic(ctx, cluster.Seeds(), topic, int32(partitions)); err != nil {
		return err
	}
	led := time.Since(began)
	if err := cluster.Opened(ctx, partitions); err != nil {
		return err
	}
	fmt.Printf("%d partitions x 3 created and led in %.1f s, the last replica open after %.1f s\n", partitions, led.Seconds(), time.Since(began).Seconds())
	return nil
}

// latency writes one record at a time to each of active partitions.
func latency(ctx context.Context, brokerctl string, cluster *proc.Cluster, active int) error {
	cmd := exec.CommandContext(ctx, brokerctl, "--brokers", strings.Join(cluster.Seeds(), ","), "-o", "json", "bench", "latency",
		"--topic", topic, "--record-size", "200", "--producers", fmt.Sprint(active), "--partitions", fmt.Sprint(active), "--duration", "10s", "--warm-up", "2s")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("brokerctl bench latency: %w\n%s", err, errOut.String())
	}
	var r struct {
		Rate float64 `json:"records_per_second"`
		P50  float64 `json:"p50_us"`
		P99  float64 `json:"p99_us"`
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return err
	}
	fmt.Printf("%4d partitions written to, one record at a time each: %6.0f/s, p50 %.1f ms, p99 %.1f ms\n", active, r.Rate, r.P50/1000, r.P99/1000)
	return nil
}

// restart kills all brokers and times their way back until every partition has acknowledged a record.
func restart(ctx context.Context, cluster *proc.Cluster, partitions int) error {
	if err := cluster.KillAll(); err != nil {
		return err
	}
	began := time.Now()
	for _, b := range cluster.Brokers {
		if err := b.Start(); err != nil {
			return err
		}
	}
	if err := cluster.Ready(ctx); err != nil {
		return err
	}
	ready := time.Since(began)
	cl, err := client.New(cluster.Seeds())
	if err != nil {
		return err
	}
	defer cl.Close()
	records := make([]*client.Record, partitions)
	for p := range records {
		records[p] = &client.Record{Topic: topic, Partition: int32(p), Value: []byte("again")}
	}
	if err := cl.ProduceSync(ctx, records...); err != nil {
		return err
	}
	fmt.Printf("kill -9 of all three: ready %.2f s after the start, every partition has acknowledged a record after %.2f s\n",
		ready.Seconds(), time.Since(began).Seconds())
	return nil
}
