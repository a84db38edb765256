package proc

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Main is the main function of a program that runs a cluster, once it has defined its own flags. It adds -temp and -limit, whose
// default is limit (0: there is no such flag), and runs f in a new folder until f returns, a signal comes or the time is over. An
// error ends the process with status 1.
func Main(name string, limit time.Duration, f func(ctx context.Context, dir string) error) {
	temp := flag.String("temp", "", "folder for data and logs (default: the system's for temporary files)")
	if limit > 0 {
		flag.DurationVar(&limit, "limit", limit, "give up after this time")
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if err := InTemp(*temp, name, func(dir string) error { return f(ctx, dir) }); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}
