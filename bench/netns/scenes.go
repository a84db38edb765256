package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/trial"
)

// scenes are played in this order, in one cluster.
var scenes = []scene{
	{"a host's cable is cut, and plugged in again", 5 * time.Second, time.Second, cutOther},
	{"the cable of the host that leads the controller", 5 * time.Second, time.Second, cutController},
	{"a host hears nobody, and is heard", 5 * time.Second, time.Second, deafen},
	{"a host's packets to one other host are lost", 5 * time.Second, 0, oneWay},
	{"a link of 4 Mbit/s with 200 ms of queue", 2 * time.Second, 0, slow},
	{"kill -9, and back under another address", 5 * time.Second, 0, another},
	{"SIGTERM one by one, each back under another address", 5 * time.Second, 0, allInTurn},
	{"kill -9 of all, each back at another one's address", 15 * time.Second, 0, allAtOnce},
	{"a host is gone with all on it, and boots again", 5 * time.Second, time.Second, reboot},
}

// other is a host whose broker does not lead the controller group, and the one whose broker does.
func (w *world) other(ctx context.Context) (other, controller int, err error) {
	controller, err = w.controller(ctx)
	return controller%brokers + 1, controller, err
}

// hold lets a fault last, and sees that it is one: the address of the host must not be reached meanwhile.
func (w *world) hold(ctx context.Context, n int) error {
	if reaches(ctx, w.broker(n).HTTP) {
		return fmt.Errorf("host %d is to be cut off and takes connections", n)
	}
	return proc.Wait(ctx, w.o.hold)
}

func cutOther(ctx context.Context, w *world) ([]int, error) {
	n, _, err := w.other(ctx)
	if err != nil {
		return nil, err
	}
	return []int{n}, w.cut(ctx, n)
}

func cutController(ctx context.Context, w *world) ([]int, error) {
	n, err := w.controller(ctx)
	if err != nil {
		return nil, err
	}
	return []int{n}, w.cut(ctx, n)
}

func (w *world) cut(ctx context.Context, n int) error {
	if err := w.lab.cable(hostName(n), false); err != nil {
		return err
	}
	return errors.Join(w.hold(ctx, n), w.lab.cable(hostName(n), true))
}

func deafen(ctx context.Context, w *world) ([]int, error) {
	n, _, err := w.other(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.lab.deaf(hostName(n), true); err != nil {
		return nil, err
	}
	return []int{n}, errors.Join(w.hold(ctx, n), w.lab.deaf(hostName(n), false))
}

// oneWay cuts the controller's host off from one other host, in one direction. Clients, and the third host, reach both.
func oneWay(ctx context.Context, w *world) ([]int, error) {
	to, from, err := w.other(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.lab.lose(hostName(from), w.at[to], true); err != nil {
		return nil, err
	}
	reached, err := w.lab.reachesFrom(ctx, hostName(from), w.broker(to).HTTP)
	if err == nil && reached {
		err = fmt.Errorf("host %d is to be cut off from host %d and reaches it", from, to)
	}
	if err == nil {
		err = trial.Until(ctx, servesWithin, func(ctx context.Context) error { // one attempt is too short for a machine that hangs
			if !reaches(ctx, w.broker(to).HTTP) {
				return fmt.Errorf("host %d is cut off from clients, too", to)
			}
			return nil
		})
	}
	if err == nil {
		err = proc.Wait(ctx, w.o.hold)
	}
	return []int{from, to}, errors.Join(err, w.lab.lose(hostName(from), w.at[to], false))
}

func slow(ctx context.Context, w *world) ([]int, error) {
	n, _, err := w.other(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.lab.slow(hostName(n), "4mbit", true); err != nil {
		return nil, err
	}
	return []int{n}, errors.Join(proc.Wait(ctx, w.o.hold), w.lab.slow(hostName(n), "4mbit", false))
}

// another kills the controller's leader. Its seeds are addresses, of which its own is wrong when it comes back; the others tell it the rest.
func another(ctx context.Context, w *world) ([]int, error) {
	n, err := w.controller(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.broker(n).Kill(); err != nil {
		return nil, err
	}
	if err := w.move(n, fmt.Sprintf("10.0.0.%d", 10+n)); err != nil {
		return nil, err
	}
	return []int{n}, w.broker(n).Start()
}

// allInTurn has each broker come back elsewhere, the next once the one before is ready: a rolling update on a container platform. From now on
// seeds are names.
func allInTurn(ctx context.Context, w *world) (hit []int, err error) {
	for n := 1; n <= brokers; n++ {
		hit = append(hit, n)
		b := w.broker(n)
		if err := b.Stop(ctx); err != nil {
			return nil, err
		}
		if err := w.move(n, fmt.Sprintf("10.0.0.%d", 20+n)); err != nil {
			return nil, err
		}
		b.Find(seeds("7072"))
		if err := b.Start(); err != nil {
			return nil, err
		}
		if err := b.Ready(ctx); err != nil {
			return nil, err
		}
	}
	return hit, nil
}

// allAtOnce kills all brokers and gives each the address that the next one had. From now on others are told names.
func allAtOnce(_ context.Context, w *world) (hit []int, err error) {
	if err := w.cluster.KillAll(); err != nil {
		return nil, err
	}
	was := []string{w.at[1], w.at[2], w.at[3]}
	for n := 1; n <= brokers; n++ {
		hit = append(hit, n)
		if err := w.move(n, was[n%brokers]); err != nil {
			return nil, err
		}
		name := domainName(n)
		w.broker(n).Told = proc.Told{Client: name + ":7070", Peer: name + ":7071", Gossip: name + ":7072"}
	}
	for _, b := range w.cluster.Brokers {
		if err := b.Start(); err != nil {
			return nil, err
		}
	}
	return hit, nil
}

// reboot removes a host without a farewell: nobody answers for its connections, not even with a reset.
func reboot(ctx context.Context, w *world) ([]int, error) {
	n, _, err := w.other(ctx)
	if err != nil {
		return nil, err
	}
	// The cable first: the kernel would close the connections of a killed process.
	if err := w.lab.cable(hostName(n), false); err != nil {
		return nil, err
	}
	if err := w.lab.destroy(hostName(n)); err != nil {
		return nil, err
	}
	if err := w.broker(n).Wait(); err != nil {
		return nil, err
	}
	if err := w.hold(ctx, n); err != nil {
		return nil, err
	}
	if err := w.host(n, w.at[n]); err != nil {
		return nil, err
	}
	return []int{n}, w.broker(n).Start()
}
