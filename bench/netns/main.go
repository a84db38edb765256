package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

// skipped is the status of a run that could show nothing.
const skipped = 77

// The program runs itself under these names.
const (
	insideName = "inside"
	probeName  = "probe"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case insideName:
			mainInside(os.Args[2:])
			return
		case probeName:
			mainProbe(os.Args[2])
			return
		}
	}
	var brokerd string
	var hold time.Duration
	flag.StringVar(&brokerd, "brokerd", "", "program to run (default: the one of this source)")
	flag.DurationVar(&hold, "hold", 15*time.Second, "how long a fault lasts; gossip takes a silent broker for dead after about 15 s")
	proc.Main("netns", 10*time.Minute, func(ctx context.Context, dir string) error {
		if why := unable(); why != "" {
			fmt.Println("skipped: " + why)
			_ = os.RemoveAll(dir) // nothing is in it
			os.Exit(skipped)
		}
		return outside(ctx, dir, brokerd, hold)
	})
}

// unable tells why there can be no network namespaces; empty if there can.
func unable() string {
	if os.Geteuid() != 0 {
		return "network namespaces need root"
	}
	for _, name := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(name); err != nil {
			return "the program " + name + " is not there: install iproute2"
		}
	}
	l := lab{fmt.Sprintf("runnel-%d-trial", os.Getpid())}
	defer l.remove()
	if err := l.create(); err != nil {
		return fmt.Sprintf("network namespaces cannot be made here: %v", err)
	}
	return ""
}

func mainInside(args []string) {
	fs := flag.NewFlagSet(insideName, flag.ExitOnError)
	var o options
	fs.StringVar(&o.dir, "dir", "", "")
	fs.StringVar(&o.brokerd, "brokerd", "", "")
	fs.StringVar(&o.prefix, "prefix", "", "")
	fs.DurationVar(&o.hold, "hold", 0, "")
	_ = fs.Parse(args) // exits on an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "netns:", err)
		os.Exit(1) //nolint:gocritic // the process ends
	}
}

// probeWithin is how long an address has to take a connection.
const probeWithin = time.Second

// reaches tells whether an address takes a connection from here.
func reaches(ctx context.Context, address string) bool {
	d := net.Dialer{Timeout: probeWithin}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = c.Close() // it was there
	return true
}

// mainProbe is reaches for a host's namespace; the status is the answer.
func mainProbe(address string) {
	if !reaches(context.Background(), address) {
		os.Exit(1)
	}
}

// reachesFrom is reaches from a host.
func (l lab) reachesFrom(ctx context.Context, host, address string) (bool, error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	err = exec.CommandContext(ctx, "ip", "netns", "exec", l.name(host), self, probeName, address).Run()
	var status *exec.ExitError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &status) && status.ExitCode() == 1:
		return false, nil
	}
	return false, err
}
