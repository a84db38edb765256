package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/source"
	"github.com/runnel-io/runnel/bench/stream"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const topic = "go-source"

type options struct {
	root         string
	partitions   int
	rounds, rate int
	segmentBytes int64
	replaceAfter time.Duration
	patience     time.Duration
	catchup      int64
	skip         bool
}

func main() {
	var o options
	flag.StringVar(&o.root, "source", "", "folder whose files are sent (default: the Go standard library's source)")
	flag.IntVar(&o.partitions, "partitions", 24, "partitions of the topic, with three replicas each")
	flag.IntVar(&o.rounds, "rounds", 2, "how often all files are sent before the first step")
	flag.IntVar(&o.rate, "rate", 10_000, "records a second that are sent during the steps")
	flag.Int64Var(&o.segmentBytes, "segment", 4<<20, "segment.bytes of the topic: whole segments are shipped as files, the rest as entries")
	flag.DurationVar(&o.replaceAfter, "replace-after", 5*time.Second, "replacement.after of the brokers")
	flag.DurationVar(&o.patience, "patience", 3*time.Minute, "how long a step may take to settle")
	flag.Int64Var(&o.catchup, "catchup", 512, "MiB that are shipped while the waits of others are measured; 0: not")
	flag.BoolVar(&o.skip, "catchup-only", false, "leave the steps out")
	proc.Main("elastic", 20*time.Minute, func(ctx context.Context, dir string) error { return elastic(ctx, o, dir) })
}

func elastic(ctx context.Context, o options, dir string) (err error) {
	if o.root, err = source.Root(ctx, o.root); err != nil {
		return err
	}
	files, err := source.List(o.root)
	if err != nil {
		return err
	}
	brokerd, err := proc.Build(ctx, dir, "brokerd")
	if err != nil {
		return err
	}
	if !o.skip {
		if err := within(dir, "steps", func(dir string) error { return steps(ctx, o, dir, brokerd, files) }); err != nil {
			return err
		}
	}
	if o.catchup > 0 {
		return within(dir, "catchup", func(dir string) error { return impact(ctx, o, dir, brokerd, files) })
	}
	return nil
}

// within runs f in a folder of its own.
func within(dir, name string, f func(dir string) error) error {
	dir += "/" + name
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return f(dir)
}

// run is a cluster under load.
type run struct {
	o       options
	cluster *proc.Cluster
	cl      *client.Client
	stream  *stream.Stream
}

// start starts brokers, a topic and the load, and gives all of it to f.
func start(ctx context.Context, o options, po proc.Options, so stream.Options, f func(*run) error) (err error) {
	cluster, err := proc.Start(ctx, po)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	cl, err := client.New(cluster.Seeds())
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, err := cl.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{
		Name: so.Topic, Partitions: so.Partitions, ReplicationFactor: 3, Config: map[string]string{"segment.bytes": fmt.Sprint(o.segmentBytes)},
	}); err != nil {
		return err
	}
	so.Seeds, so.Root = cluster.Seeds(), o.root
	s, err := stream.Start(ctx, so)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = s.Abort(err)
		}
	}()
	return f(&run{o: o, cluster: cluster, cl: cl, stream: s})
}
