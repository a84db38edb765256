package proc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Cluster is a set of broker processes that share a list of seeds.
type Cluster struct {
	Dir     string
	Brokers []*Broker

	o     Options
	seeds []string
}

// Options of a cluster.
type Options struct {
	Dir     string   // where data and logs go; must exist
	Brokers int      // how many
	Brokerd string   // the program; "" builds it into Dir
	Args    []string // more flags for each broker
	Proxied bool     // others are told addresses of their own, which somebody must serve
	// Host is each broker's host; nil: a loopback address of its own.
	Host func(number int) string
	// Via is the command that runs each broker's program, and becomes it; nil: none.
	Via func(number int) []string
}

// Start builds brokerd if need be and starts the brokers. It returns once each says /readyz, or with the reason of the
// first that does not before ctx ends; nothing runs on then.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c, err := New(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, b := range c.Brokers {
		if err := b.Start(); err != nil {
			return nil, errors.Join(err, c.KillAll())
		}
	}
	if err := c.Ready(ctx); err != nil {
		return nil, errors.Join(err, c.KillAll())
	}
	return c, nil
}

// New builds brokerd if need be and gives each broker its addresses and folder. It starts none.
func New(ctx context.Context, o Options) (*Cluster, error) {
	if o.Brokerd == "" {
		var err error
		if o.Brokerd, err = Build(ctx, o.Dir, "brokerd"); err != nil {
			return nil, err
		}
	}
	c := &Cluster{Dir: o.Dir, o: o}
	for range o.Brokers {
		b := c.next()
		c.seeds = append(c.seeds, cmp.Or(b.Told.Gossip, b.Gossip))
		c.Brokers = append(c.Brokers, b)
	}
	if o.Brokers > 1 {
		for _, b := range c.Brokers {
			b.seeds = c.seeds
		}
	}
	return c, nil
}

// next is one more broker, of which nothing runs yet.
func (c *Cluster) next() *Broker {
	n := len(c.Brokers) + 1
	b := &Broker{Number: n, dir: filepath.Join(c.o.Dir, fmt.Sprintf("broker-%d", n)), program: c.o.Brokerd, args: c.o.Args}
	if c.o.Host == nil {
		b.Move(hostOf(os.Getpid(), n))
	} else {
		b.Move(c.o.Host(n))
	}
	if c.o.Via != nil {
		b.via = c.o.Via(n)
	}
	if c.o.Proxied {
		front := hostOf(os.Getpid(), 100+n)
		b.Told = Told{Client: front + ":7070", Peer: front + ":7071", Gossip: front + ":7072"}
	}
	return b
}

// Add starts one more broker, which joins the others; it does not wait until it is ready. One that cannot be started is not added.
func (c *Cluster) Add() (*Broker, error) {
	b := c.Spare()
	if err := b.Start(); err != nil {
		c.Brokers = c.Brokers[:len(c.Brokers)-1]
		return nil, err
	}
	return b, nil
}

// Spare is one more broker that joins the others when it is started.
func (c *Cluster) Spare() *Broker {
	b := c.next()
	b.seeds = c.seeds
	c.Brokers = append(c.Brokers, b)
	return b
}

// Seeds are the addresses for clients.
func (c *Cluster) Seeds() []string {
	var out []string
	for _, b := range c.Brokers {
		out = append(out, b.Address())
	}
	return out
}

// Ready waits until each running broker is ready.
func (c *Cluster) Ready(ctx context.Context) error {
	for _, b := range c.Brokers {
		if !b.Running() {
			continue
		}
		if err := b.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// KillAll sends SIGKILL to every running broker at once and waits for all of them.
func (c *Cluster) KillAll() error {
	var errs []error
	for _, b := range c.Brokers {
		errs = append(errs, b.signalKill())
	}
	for _, b := range c.Brokers {
		errs = append(errs, b.Wait())
	}
	return errors.Join(errs...)
}

// Stop sends SIGTERM to every running broker and waits, killing those that outlive ctx.
func (c *Cluster) Stop(ctx context.Context) error {
	var errs []error
	for _, b := range c.Brokers {
		errs = append(errs, b.terminate())
	}
	for _, b := range c.Brokers {
		errs = append(errs, b.await(ctx))
	}
	return errors.Join(errs...)
}

// ByAddress finds the broker that serves a client address.
func (c *Cluster) ByAddress(address string) (*Broker, error) {
	for _, b := range c.Brokers {
		if b.Address() == address {
			return b, nil
		}
	}
	return nil, fmt.Errorf("no broker of this cluster serves %s", address)
}

// Build compiles a program of ./cmd into dir and answers its path.
func Build(ctx context.Context, dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/runnel-io/runnel/cmd/"+name).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot build %s: %w\n%s", name, err, out)
	}
	return path, nil
}

// InTemp runs f in a new folder under base ("" is the system's) and removes the folder unless f fails; then it says where it is.
func InTemp(base, name string, f func(dir string) error) error {
	dir, err := os.MkdirTemp(base, "runnel-"+name+"-")
	if err != nil {
		return err
	}
	if err := f(dir); err != nil {
		return fmt.Errorf("%w\nthe brokers' folders and logs are left in %s", err, dir)
	}
	return os.RemoveAll(dir)
}

// at is a port of a host.
func at(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// hostOf gives each broker of each run a loopback address of its own. With a port of 127.0.0.1 a broker could find, when it
// starts again, that some outgoing connection was given its port meanwhile: those leave from 127.0.0.1.
func hostOf(pid, broker int) string {
	return fmt.Sprintf("127.%d.%d.%d", 64+pid>>8&63, pid&255, broker)
}

// cleanEnv is this process's environment without Runnel's own variables, which would change the brokers.
func cleanEnv() []string {
	var out []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RUNNEL_") {
			out = append(out, kv)
		}
	}
	return out
}
