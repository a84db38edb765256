package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/observe/dashboards"
	"github.com/runnel-io/runnel/bench/proc"
)

// skipped is the status of a run that could show nothing.
const skipped = 77

type options struct {
	brokerd, config, charts string
}

func main() {
	var o options
	write := flag.String("write", "", "write the dashboards into this folder and do nothing else")
	flag.StringVar(&o.brokerd, "brokerd", "", "program to run (default: the one of this source)")
	flag.StringVar(&o.config, "config", "deploy/prometheus", "folder of prometheus.yml and alerts.yml")
	flag.StringVar(&o.charts, "charts", "", "draw charts of the run into this folder")
	proc.Main("observe", 12*time.Minute, func(ctx context.Context, dir string) error {
		if *write != "" {
			return dashboards.Write(*write)
		}
		if err := able(dir); err != nil {
			fmt.Println("skipped:", err)
			_ = os.RemoveAll(dir) // nothing is in it
			os.Exit(skipped)
		}
		return observe(ctx, o, dir)
	})
}

// able tells what is missing on this machine.
func able(dir string) error {
	for program, pkg := range map[string]string{"prometheus": "prometheus", "strace": "strace", "mkfs.ext4": "e2fsprogs"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed: apt-get install %s", program, pkg)
		}
	}
	if out, err := exec.Command("strace", "-f", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		return fmt.Errorf("strace may not trace here: %s", out)
	}
	d, err := newDisk(filepath.Join(dir, "trial"), filepath.Join(dir, "trial-data"), 4<<20)
	if err != nil {
		return fmt.Errorf("this needs root and loop devices, to mount small file systems: %w", err)
	}
	return syscall.Unmount(d.mount, syscall.MNT_DETACH)
}
