package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/trial"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	brokers    = 3
	partitions = 6
	// The bounds of what is no wait for an acknowledgement.
	foundedWithin = 30 * time.Second
	wholeWithin   = time.Minute
	servesWithin  = 10 * time.Second
)

type options struct {
	dir, brokerd, prefix string
	hold                 time.Duration
}

// world is a run: the network, what is in it, and what was found.
type world struct {
	o       options
	lab     lab
	names   *names
	cluster *proc.Cluster
	cl      *client.Client // an operator's, for the whole run
	ids     map[int32]int  // broker id -> number of its host
	at      map[int]string // host's number -> its address
	trials  []*trial.Trial // that are over
	red     int
}

// hostName is the name of a host, in the network and of its namespace.
func hostName(n int) string { return fmt.Sprintf("b%d", n) }

// domainName is what the name server knows a host by.
func domainName(n int) string { return hostName(n) + ".runnel" }

// seeds are a port of all hosts, by name.
func seeds(port string) []string {
	var out []string
	for n := 1; n <= brokers; n++ {
		out = append(out, domainName(n)+":"+port)
	}
	return out
}

func run(ctx context.Context, o options) (err error) {
	w := &world{o: o, lab: lab{o.prefix}, ids: map[int32]int{}, at: map[int]string{}}
	if w.names, err = serveNames(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.names.close()) }()
	if w.cl, err = client.New(seeds("7070")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.cl.Close()) }()
	for n := 1; n <= brokers; n++ {
		if err := w.host(n, fmt.Sprintf("10.0.0.%d", n)); err != nil {
			return err
		}
	}
	w.cluster, err = proc.New(ctx, proc.Options{
		Dir: o.dir, Brokers: brokers, Brokerd: o.brokerd, Args: []string{"--insecure"},
		Host: func(n int) string { return w.at[n] },
		Via:  func(n int) []string { return []string{"ip", "netns", "exec", w.lab.name(hostName(n))} },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.cluster.KillAll()) }()
	if err := w.found(ctx); err != nil {
		return err
	}
	fmt.Println(header)
	for _, s := range scenes {
		if err := w.play(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := w.again(ctx); err != nil {
		return err
	}
	if err := w.panics(); err != nil {
		return err
	}
	if w.red > 0 {
		return fmt.Errorf("%d of %d are red", w.red, len(scenes)+1)
	}
	return nil
}

// host connects a host and has the name server tell of it.
func (w *world) host(n int, address string) error {
	w.at[n] = address
	return errors.Join(w.lab.connect(hostName(n), address), w.names.set(domainName(n), address))
}

// move gives a host, and the broker that does not run on it, another address.
func (w *world) move(n int, address string) error {
	w.at[n] = address
	w.broker(n).Move(address)
	return errors.Join(w.lab.readdress(hostName(n), address), w.names.set(domainName(n), address))
}

func (w *world) broker(n int) *proc.Broker { return w.cluster.Brokers[n-1] }

// found starts all brokers, which found a cluster by addresses, as the README has it.
func (w *world) found(ctx context.Context) error {
	began := time.Now()
	for _, b := range w.cluster.Brokers {
		if err := b.Start(); err != nil {
			return err
		}
	}
	wait, cancel := context.WithTimeout(ctx, foundedWithin)
	defer cancel()
	if err := w.cluster.Ready(wait); err != nil {
		return fmt.Errorf("founding: %w", err)
	}
	list, err := w.cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return err
	}
	for _, b := range list.GetBrokers() {
		for n := range w.cluster.Brokers {
			if w.broker(n+1).Address() == b.GetAddress() {
				w.ids[b.GetId()] = n + 1
			}
		}
	}
	if len(w.ids) != brokers {
		return fmt.Errorf("%d brokers were started and %d are members under their addresses: %v", brokers, len(w.ids), list.GetBrokers())
	}
	fmt.Printf("founded over the network %.1f s after the start: brokers at %s, %s and %s\n\n", time.Since(began).Seconds(), w.at[1], w.at[2], w.at[3])
	return nil
}

// registered says which broker the cluster does not know under the address that it has now; nil: none.
func (w *world) registered(ctx context.Context) error {
	list, err := w.cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return err
	}
	if len(list.GetBrokers()) != brokers {
		return fmt.Errorf("the cluster has %d brokers, not %d", len(list.GetBrokers()), brokers)
	}
	for _, b := range list.GetBrokers() {
		if want := w.broker(w.ids[b.GetId()]).Address(); b.GetAddress() != want || !b.GetAlive() {
			return fmt.Errorf("broker %d is said to be at %s, alive: %t; it is at %s", b.GetId(), b.GetAddress(), b.GetAlive(), want)
		}
	}
	return nil
}

// controller is the number of the host whose broker leads the controller group.
func (w *world) controller(ctx context.Context) (int, error) {
	var n int
	err := trial.Until(ctx, servesWithin, func(ctx context.Context) error {
		s, err := w.cl.Admin().ClusterStatus(ctx, &runnelv1.ClusterStatusRequest{})
		if err != nil {
			return err
		}
		if n = w.ids[s.GetControllerId()]; n == 0 {
			return errors.New("nobody leads the controller group")
		}
		return nil
	})
	return n, err
}

// panics looks for defects in what the brokers have said.
func (w *world) panics() error {
	var errs []error
	for _, b := range w.cluster.Brokers {
		text, err := os.ReadFile(b.LogFile())
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			if bytes.HasPrefix(line, []byte("panic:")) || bytes.HasPrefix(line, []byte("fatal error:")) {
				errs = append(errs, fmt.Errorf("%s: %s", b.LogFile(), bytes.TrimSpace(line)))
			}
		}
	}
	return errors.Join(errs...)
}
