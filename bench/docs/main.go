package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

// blockLimit bounds one block.
const blockLimit = 4 * time.Minute

func main() {
	rewrite := flag.Bool("rewrite", false, "put what is printed into the page")
	bin := flag.String("bin", "", "folder with brokerd and brokerctl (default: they are built)")
	proc.Main("docs", 20*time.Minute, func(ctx context.Context, dir string) error {
		if flag.NArg() == 0 {
			return errors.New("which pages? For example: go run ./bench/docs deploy/README.md")
		}
		programs, err := programs(ctx, *bin, dir)
		if err != nil {
			return err
		}
		dir, done, err := roomy(dir)
		if err != nil {
			return err
		}
		defer done()
		for i, page := range flag.Args() {
			if err := onePage(ctx, filepath.Join(dir, fmt.Sprint(i)), programs, page, *rewrite); err != nil {
				return fmt.Errorf("%s: %w", page, err)
			}
		}
		return nil
	})
}

// roomy gives the folder, or one in memory where the folder's disk is so full that brokerctl doctor speaks of it: on a page, nothing is amiss.
// Where neither has room, that is said instead of a difference in what a block prints. done removes the one in memory.
func roomy(dir string) (_ string, done func(), _ error) {
	low, err := isLow(dir)
	if err != nil || !low {
		return dir, func() {}, err
	}
	memory, err := os.MkdirTemp("/dev/shm", "runnel-docs-")
	if err == nil {
		if low, err = isLow(memory); err == nil && !low {
			return memory, func() { _ = os.RemoveAll(memory) }, nil
		}
		_ = os.RemoveAll(memory)
	}
	if err == nil {
		err = errors.New("/dev/shm has no room either")
	}
	return "", nil, fmt.Errorf("the disk of %s is nearly full, as brokerctl doctor would say of it, and no page does: name a folder on another one with -temp: %w", dir, err)
}

// isLow tells whether brokers with a folder there would be said to have little room (brokerctl/doctor; the reserve is brokerd's default).
func isLow(dir string) (bool, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return false, err
	}
	const reserve = 1 << 30
	free, total := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize //nolint:gosec // disks are smaller
	const margin = 1 << 30                                              // that other programs may write meanwhile
	return free-margin < max(2*reserve, total/10), nil
}

func programs(ctx context.Context, bin, dir string) (string, error) {
	if bin != "" {
		return filepath.Abs(bin)
	}
	for _, p := range []string{"brokerd", "brokerctl"} {
		if _, err := proc.Build(ctx, dir, p); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func onePage(ctx context.Context, dir, programs, file string, rewrite bool) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page := string(raw)
	blocks, err := parse(page)
	if err != nil {
		return err
	}
	got, err := runBlocks(ctx, dir, programs, page, blocks, rewrite)
	if rewrite && len(got) > 0 { // what ran before a failure is worth keeping, too
		err = errors.Join(err, os.WriteFile(file, []byte(replace(page, blocks, got)), 0o644))
	}
	return err
}

// runBlocks runs the blocks in turn. The first that fails, or prints another shape than the page has, ends it.
func runBlocks(ctx context.Context, dir, programs, page string, blocks []*block, rewrite bool) (got map[*block]string, err error) {
	got = map[*block]string{}
	var h *hosts
	stop := func() error {
		if h == nil {
			return nil
		}
		return h.stop()
	}
	defer func() { err = errors.Join(err, stop()) }()
	clusters, ran := 0, 0
	for _, b := range blocks {
		if name, ok := b.marks["cluster"]; ok {
			if err := stop(); err != nil {
				return got, err
			}
			clusters++
			if h, err = newHosts(dir, programs, clusters); err != nil {
				return got, err
			}
			fmt.Printf("cluster %d: %s\n", clusters, name)
		}
		if path, ok := b.marks["file"]; ok {
			if h == nil {
				return got, fmt.Errorf("line %d: no cluster is begun yet", b.line)
			}
			if err := h.file(path, b.text); err != nil {
				return got, err
			}
			continue
		}
		if _, not := b.marks["not run"]; not || b.lang != "sh" {
			continue
		}
		if h == nil {
			return got, fmt.Errorf("line %d: no cluster is begun yet", b.line)
		}
		if err := runBlock(ctx, h, b, page, got, rewrite); err != nil {
			return got, err
		}
		ran++
	}
	if ran == 0 {
		return got, errors.New("no command of it was run")
	}
	fmt.Printf("%d blocks of commands were run in %d clusters, and print what the page says\n", ran, clusters)
	return got, nil
}

func runBlock(ctx context.Context, h *hosts, b *block, page string, got map[*block]string, rewrite bool) error {
	ctx, cancel := context.WithTimeout(ctx, blockLimit)
	defer cancel()
	began := time.Now()
	out, err := h.run(ctx, b.text)
	fmt.Printf("line %d: %.1f s\n", b.line, time.Since(began).Seconds())
	_, fails := b.marks["fails"]
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("line %d took longer than %s, or was interrupted; it printed:\n%s", b.line, blockLimit, out)
	case err != nil && !fails:
		return fmt.Errorf("line %d: %w:\n%s\nit printed:\n%s", b.line, err, b.text, out)
	case err == nil && fails:
		return fmt.Errorf("line %d succeeds, and the page says that it fails; it printed:\n%s", b.line, out)
	}
	got[b] = out
	if rewrite {
		return nil
	}
	if err := differs(b.want(page), out); err != nil {
		return fmt.Errorf("line %d: %w\nall that it printed:\n%s", b.line, err, out)
	}
	return nil
}
