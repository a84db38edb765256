package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/source"
)

func main() {
	var o options
	flag.StringVar(&o.root, "source", "", "folder whose files are sent (default: the Go standard library's source)")
	flag.IntVar(&o.partitions, "partitions", 12, "partitions of the topic")
	proc.Main("demo", 2*time.Minute, func(ctx context.Context, dir string) error { return demo(ctx, o, dir) })
}

type options struct {
	root       string
	partitions int
}

// demo is the whole show; its last printed line is the verdict.
func demo(ctx context.Context, o options, dir string) (err error) {
	if o.root, err = source.Root(ctx, o.root); err != nil {
		return err
	}
	files, err := source.List(o.root)
	if err != nil {
		return err
	}
	fmt.Printf("input: %d files of %s\n", len(files), o.root)
	started := time.Now()
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	fmt.Printf("three brokers ready, %.1f s with the build\n", time.Since(started).Seconds())

	sent, err := produceAll(ctx, o, cluster, files)
	if err != nil {
		return err
	}
	c, err := consumeAll(ctx, cluster, sent)
	if err != nil {
		return err
	}
	marks, err := highWatermarks(ctx, cluster)
	if err != nil {
		return err
	}
	identical, wrong := c.Compare(files, len(files))
	fmt.Printf("high watermarks add up to %d, records sent %d, records read %d\n", marks, sent, c.Records)
	fmt.Printf("%d of %d files identical, lost: %d, duplicated: %d\n", identical, len(files), c.Lost, c.Duplicated)
	switch {
	case identical != len(files):
		return fmt.Errorf("file %s came back changed", wrong)
	case c.Lost != 0 || c.Duplicated != 0 || marks != sent || c.Records != sent:
		return errors.New("the records read are not the records sent")
	}
	return nil
}
