// Command diskfull fills the disks of real brokers from outside while a client writes and another one reads, and says whether what is promised
// holds: records are refused, with an error that says why, before a file system is full; reads go on; leadership moves off a broker
// that is full; nothing acknowledged is lost, also when there is not a byte left, in the middle of a segment's roll or of a catch-up; brokers start on
// disks that are full; and all goes on without help once there is space.
//
// Each broker gets a small file system of its own, which only root may mount: a tmpfs, or another one in a file, since each has its own way with the last
// blocks. Without, the program says so and ends with status 77: it has shown nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/source"
	"github.com/runnel-io/runnel/bench/stream"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	topic      = "full"
	partitions = 6
	brokers    = 3 // and a fourth that joins

	diskBytes = 640 << 20
	reserve   = 128 << 20
	// recoveryRate (bytes a second) is so low that a disk is full before a new broker is filled.
	recoveryRate = 2 << 20
	// skipped is the status of a run that could show nothing.
	skipped = 77
)

type options struct {
	root, brokerd string
	fs            string
	hold          time.Duration
	rate          int
	most          time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.root, "source", "", "folder whose files are sent (default: the Go standard library's source)")
	flag.StringVar(&o.brokerd, "brokerd", "", "program to run (default: the one of this source)")
	flag.StringVar(&o.fs, "fs", "tmpfs", "file system of the disks: tmpfs, ext4, xfs")
	flag.DurationVar(&o.hold, "hold", 15*time.Second, "how long a disk stays full")
	flag.IntVar(&o.rate, "rate", 10_000, "records a second, beside one at a time on each partition")
	flag.DurationVar(&o.most, "most", 15*time.Second, "longest wait for an acknowledgement that passes while one broker's disk is full")
	proc.Main("diskfull", 15*time.Minute, func(ctx context.Context, dir string) error {
		if err := mountable(ctx, o.fs, dir); err != nil {
			fmt.Printf("skipped: this needs root, to mount small file systems, and their tools: %v\n", err)
			_ = os.RemoveAll(dir) // nothing is in it
			os.Exit(skipped)
		}
		return run(ctx, o, dir)
	})
}

// diskfull is a run.
type diskfull struct {
	o       options
	dir     string
	cluster *proc.Cluster
	disks   []*disk
	cl      *client.Client
	s       *stream.Stream
	home    map[int32]int // leaders by broker, to begin with
	placed  string
	pids    []int
	longest time.Duration // wait since the step began
	wrong   []string
}

func (r *diskfull) violated(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
	fmt.Println("VIOLATION: " + r.wrong[len(r.wrong)-1])
}

func run(ctx context.Context, o options, dir string) (err error) {
	if o.root, err = source.Root(ctx, o.root); err != nil {
		return err
	}
	files, err := source.List(o.root)
	if err != nil {
		return err
	}
	r := &diskfull{o: o, dir: dir}
	defer func() { err = errors.Join(err, r.unmount()) }()
	for n := range brokers + 1 {
		d, err := newDisk(ctx, o.fs, filepath.Join(dir, fmt.Sprintf("disk-%d", n+1)), filepath.Join(dir, fmt.Sprintf("broker-%d", n+1)))
		if err != nil {
			return err
		}
		r.disks = append(r.disks, d)
	}
	r.cluster, err = proc.Start(ctx, proc.Options{Dir: dir, Brokers: brokers, Brokerd: o.brokerd, Args: []string{
		"--disk-reserve-bytes", fmt.Sprint(reserve), "--recovery-rate-bytes", fmt.Sprint(recoveryRate), "--memory-tail-bytes", "32MiB",
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.cluster.KillAll()) }()
	if r.cl, err = client.New(r.cluster.Seeds()); err != nil {
		return err
	}
	defer r.cl.Close()
	// Small segments: while a disk is full, many of them roll.
	_, err = r.cl.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{Name: topic, Partitions: partitions, ReplicationFactor: 3, Config: map[string]string{"segment.bytes": "65536"}})
	if err != nil {
		return err
	}
	if r.s, err = stream.Start(ctx, stream.Options{
		Seeds: r.cluster.Seeds(), Topic: topic, Partitions: partitions, Root: o.root, Files: files, Rate: o.rate,
	}); err != nil {
		return err
	}
	if err := r.steps(ctx); err != nil {
		return r.s.Abort(err)
	}
	return r.end(ctx)
}

// steps are what happens to the disks, one after the other.
func (r *diskfull) steps(ctx context.Context) error {
	for _, b := range r.cluster.Brokers {
		r.pids = append(r.pids, b.PID())
	}
	if err := r.pause(ctx, 5*time.Second); err != nil {
		return err
	}
	var err error
	if r.home, err = r.leaders(ctx); err != nil {
		return err
	}
	if r.placed, err = r.placement(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"one disk below the reserve", r.oneLow}, {"one disk without a byte left", r.oneFull}, {"all disks below the reserve, then full, with all brokers killed and started again", r.allLow},
		{"all disks without a byte left", r.allFull}, {"a new broker whose disk is below the reserve, and full while it is filled", r.newcomer},
	} {
		r.s.Waits()
		r.longest = 0
		began := time.Now()
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Printf("%s: %.0f s, longest wait for an acknowledgement %.2f s, %d records acknowledged so far\n", step.name, time.Since(began).Seconds(), r.waited().Seconds(), r.s.Acked())
		for i, b := range r.cluster.Brokers {
			if b.PID() != r.pids[i] {
				r.violated("%s: broker %d ended", step.name, i+1)
				if err := r.start(i); err != nil { // and what is left of it is looked at all the same
					return err
				}
				if err := b.Ready(ctx); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// waited is the longest wait for an acknowledgement since the step began.
func (r *diskfull) waited() time.Duration {
	r.longest = max(r.longest, r.s.Waits().Longest)
	return r.longest
}

// end compares what is there with what was acknowledged.
func (r *diskfull) end(ctx context.Context) error {
	fail := func(err error) error {
		if len(r.wrong) > 0 {
			err = errors.Join(err, errors.New("violations:\n  "+strings.Join(r.wrong, "\n  ")))
		}
		return err
	}
	v, err := r.s.Stop(ctx)
	if err != nil {
		return fail(err)
	}
	again, err := r.s.Reread(ctx, r.cluster.Seeds())
	if err != nil {
		return fail(err)
	}
	for _, err := range []error{v.Err(), again.Err(), r.equal(ctx)} {
		if err != nil {
			r.violated("%v", err)
		}
	}
	fmt.Printf("%d records acknowledged, lost %d, duplicated %d; %d violations\n", r.s.Acked(), max(v.Lost, again.Lost), max(v.Duplicated, again.Duplicated), len(r.wrong))
	return fail(nil)
}
