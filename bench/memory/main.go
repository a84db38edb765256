// Command memory watches what brokers hold in memory under load: one producer of small records for minutes, on a topic whose
// retention keeps the disk bounded. It prints each broker's least and greatest resident memory by minute, and says whether
// it is flat; the exit status does so too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

const (
	recordSize = 200
	partitions = 12
	// A partition keeps little more than retention and the segment that is being written: 12 of them, three times, some 6 GB.
	segmentBytes   = 64 << 20
	retentionBytes = 64 << 20
)

type options struct {
	duration, every time.Duration
	temp            string
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "how long the load lasts")
	flag.DurationVar(&o.every, "every", 5*time.Second, "how often memory is looked at")
	flag.StringVar(&o.temp, "temp", "", "folder for the brokers' data, some 6 GB (default: the system's)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flat := false
	err := proc.InTemp(o.temp, "memory", func(dir string) (err error) {
		flat, err = watch(ctx, o, dir)
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
	}
	if err != nil || !flat {
		os.Exit(1)
	}
}

// watch carries the measurement out; flat is its verdict.
func watch(ctx context.Context, o options, dir string) (flat bool, err error) {
	if o.every <= 0 || o.duration < 4*o.every {
		return false, fmt.Errorf("-duration %v is too short for a look each %v: use four times as long at least", o.duration, o.every)
	}
	brokerctl, err := proc.Build(ctx, dir, "brokerctl")
	if err != nil {
		return false, err
	}
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	loaded := make(chan error, 1)
	go func() { loaded <- produce(ctx, brokerctl, cluster, o.duration) }() // ends with o.duration or ctx
	began := time.Now()
	samples, err := look(ctx, cluster, o, began, loaded)
	if err != nil {
		return false, err
	}
	fmt.Println(render(samples))
	v := judge(samples)
	fmt.Println(v.text)
	return v.flat, nil
}

// look samples until the load ends.
func look(ctx context.Context, cluster *proc.Cluster, o options, began time.Time, loaded <-chan error) (samples []sample, err error) {
	ticker := time.NewTicker(o.every)
	defer ticker.Stop()
	for {
		select {
		case err := <-loaded:
			return samples, err
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), <-loaded)
		case <-ticker.C:
		}
		s := sample{at: time.Since(began)}
		w, err := cluster.Work(ctx)
		if err != nil {
			return nil, err
		}
		s.records = w.Records
		for _, b := range cluster.Brokers {
			u, err := b.Usage()
			if err != nil {
				return nil, err
			}
			s.memory = append(s.memory, u.Memory)
			n, err := size(b.DataDir())
			if err != nil {
				return nil, err
			}
			s.disk += n
		}
		if s.at <= o.duration { // after it the topic goes away
			samples = append(samples, s)
		}
	}
}

// size is that of all files below dir; some go while it looks.
func size(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		switch info, err := d.Info(); {
		case err == nil:
			n += info.Size()
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		return nil
	})
	return n, err
}

// produce is the load of the first row of the table, as long as it takes.
func produce(ctx context.Context, brokerctl string, cluster *proc.Cluster, d time.Duration) error {
	args := []string{
		"--brokers", strings.Join(cluster.Seeds(), ","), "bench", "produce", "--record-size", fmt.Sprint(recordSize), "--producers", "1",
		"--partitions", fmt.Sprint(partitions), "--replication-factor", "3", "--duration", d.String(),
		"--config", fmt.Sprintf("segment.bytes=%d", segmentBytes), "--config", fmt.Sprintf("retention.bytes=%d", retentionBytes),
	}
	out, err := exec.CommandContext(ctx, brokerctl, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("brokerctl %s: %w\n%s", strings.Join(args, " "), err, out[max(0, len(out)-2000):])
	}
	return nil
}
