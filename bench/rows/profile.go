package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/bench/proc"
)

// profile takes each broker's CPU, block and mutex profiles over d, then the heap's, and prints the twenty functions that
// cost most.
func profile(ctx context.Context, c *proc.Cluster, dir, id string, d time.Duration) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(c.Brokers))
	cpu := make([]string, len(c.Brokers))
	for i, b := range c.Brokers {
		wg.Go(func() {
			path := func(kind string) string {
				return filepath.Join(dir, fmt.Sprintf("%s-broker-%d-%s.pb.gz", id, b.Number, kind))
			}
			url := "http://" + b.HTTP + "/debug/pprof/"
			seconds := fmt.Sprintf("?seconds=%d", max(int(d.Seconds()), 1))
			cpu[i] = path("cpu")
			// With seconds, block and mutex are of this while and not of the broker's whole life.
			var g errgroup.Group
			g.Go(func() error { return download(ctx, url+"profile"+seconds, cpu[i]) })
			g.Go(func() error { return download(ctx, url+"block"+seconds, path("block")) })
			g.Go(func() error { return download(ctx, url+"mutex"+seconds, path("mutex")) })
			if errs[i] = g.Wait(); errs[i] == nil {
				errs[i] = download(ctx, url+"heap", path("heap"))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	top := exec.CommandContext(ctx, "go", append([]string{"tool", "pprof", "-top", "-nodecount=20"}, cpu...)...)
	out, err := top.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w\n%s", err, out)
	}
	fmt.Printf("CPU of the three brokers in row %s; the profiles are in %s\n%s\n", id, dir, out)
	return nil
}

func download(ctx context.Context, url, path string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, resp.Body)
	return err
}
