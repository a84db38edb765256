package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main without the process: it answers the exit status.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	// Without this a write to a closed pipe kills the process before it has cleaned up (a bench removes its topic).
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal kills: whoever presses Ctrl-C twice does not want to wait for a clean end.
	context.AfterFunc(ctx, stop)
	a := &app{
		in: in, out: out, errOut: errOut, getenv: os.Getenv, connect: connectSDK, inTTY: isTerminal(in), errTTY: isTerminal(errOut),
	}
	return execute(ctx, a, args)
}

// execute runs one command line until ctx ends.
func execute(ctx context.Context, a *app, args []string) int {
	a.out = resultPipe{a.out}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	err := root.ExecuteContext(ctx)
	if err == nil || hadEnough(err) {
		return 0
	}
	a.tell("brokerctl: %s\n", a.explain(err))
	return 1
}
