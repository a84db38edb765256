package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
)

// devCommand runs a whole cluster in this process: for a laptop, not for data that matters on one disk.
func devCommand(stdout, stderr io.Writer) *cobra.Command {
	var brokers int
	var dir string
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a cluster of several brokers in the foreground, for a laptop",
		Long: "Runs several brokers in this process, on ports 7070-7073, 7080-7083, 7090-7093 and so on.\n" +
			"Their data shares one disk and one process: good for trying things out, no protection against a failure.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.Flags().IntVar(&brokers, "brokers", 3, "number of brokers, 1 to 9")
	c.Flags().StringVar(&dir, "data-dir", "./runnel-dev", "folder with one folder a broker")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if brokers < 1 || brokers > 9 {
			return fmt.Errorf("--brokers is %d; give 1 to 9", brokers)
		}
		return runDev(c.Context(), brokers, dir, stdout, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	return c
}

func runDev(ctx context.Context, brokers int, dir string, stdout io.Writer, log *slog.Logger) error {
	var seeds []string
	if brokers > 1 {
		for i := range brokers {
			seeds = append(seeds, fmt.Sprintf("127.0.0.1:%d", 7072+10*i))
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var started []*broker.Broker
	var clients []string
	errs := make([]error, brokers+1)
	for i := range brokers {
		cfg := broker.Config{
			DataDir:      filepath.Join(dir, fmt.Sprintf("broker-%d", i+1)),
			Listen:       fmt.Sprintf("127.0.0.1:%d", 7070+10*i),
			PeerListen:   fmt.Sprintf("127.0.0.1:%d", 7071+10*i),
			GossipListen: fmt.Sprintf("127.0.0.1:%d", 7072+10*i),
			HTTPListen:   fmt.Sprintf("127.0.0.1:%d", 7073+10*i),
			Seeds:        seeds,
			Log:          log.With("process", i+1),
			QuietLimits:  i > 0,
		}
		b, err := broker.Start(cfg)
		if err != nil {
			errs[brokers] = err
			cancel()
			break
		}
		started = append(started, b)
		clients = append(clients, cfg.Listen)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if allReady(ctx, started) {
			fmt.Fprintf(stdout, "cluster of %d brokers ready: brokerctl --brokers %s\n", brokers, strings.Join(clients, ","))
		}
	})
	for i, b := range started {
		wg.Go(func() {
			err := b.Wait(ctx)
			if broker.IsRemoved(err) { // the others go on without it
				errs[i] = b.Stop()
				return
			}
			errs[i] = errors.Join(err, b.Stop())
			cancel() // one that cannot go on ends the whole; a signal has ended it already
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// allReady waits until every broker is ready; false if ctx ends before.
func allReady(ctx context.Context, brokers []*broker.Broker) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ready := 0
		for _, b := range brokers {
			if b.Ready() == nil {
				ready++
			}
		}
		if ready == len(brokers) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
