package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// errUnfit: the fault could not be fired now. It is put off, not counted.
var errUnfit = errors.New("nothing is fit for it now")

// hit takes the first machine that is fit. give it back.
func (r *run) hit(s step, fit func(*machine) bool) (*machine, error) {
	for _, n := range s.Order {
		m := r.machines[n-1]
		if !m.member.Load() || !m.tryTake() {
			continue
		}
		if m.Running() && !r.spares(m, s.Kind) && (fit == nil || fit(m)) {
			return m, nil
		}
		m.give()
	}
	return nil, errUnfit
}

// nap waits for d; an early end of ctx is no error, for what was begun has to be undone.
func nap(ctx context.Context, d time.Duration) { _ = proc.Wait(ctx, d) }

func (r *run) kill(ctx context.Context, s step) (string, error) {
	m, err := r.hit(s, nil)
	if err != nil {
		return "", err
	}
	defer m.give()
	if err := m.crash(); err != nil {
		return "", err
	}
	nap(ctx, s.For/2) // what it takes to start comes on top
	return fmt.Sprintf("broker %d, down for %s", m.Number, (s.For / 2).Round(time.Millisecond)), m.boot()
}

func (r *run) stop(ctx context.Context, s step) (string, error) {
	m, err := r.hit(s, nil)
	if err != nil {
		return "", err
	}
	defer m.give()
	if err := m.Signal(syscall.SIGSTOP); err != nil {
		return "", err
	}
	nap(ctx, s.For)
	return fmt.Sprintf("broker %d for %s", m.Number, s.For.Round(time.Millisecond)), m.Signal(syscall.SIGCONT)
}

func (r *run) killAll(ctx context.Context, s step) (string, error) {
	for i, m := range r.machines {
		if err := m.take(ctx); err != nil {
			for _, taken := range r.machines[:i] {
				taken.give()
			}
			return "", errUnfit // the run ends
		}
	}
	defer func() {
		for _, m := range r.machines {
			m.give()
		}
	}()
	if r.elder.Load() != nil {
		return "", errUnfit
	}
	for _, m := range r.machines {
		r.net.Shut(m.Number)
	}
	if err := r.cluster.KillAll(); err != nil {
		return "", err
	}
	nap(ctx, s.For/4)
	n := 0
	for _, m := range r.machines {
		if !m.member.Load() {
			continue
		}
		if err := m.boot(); err != nil {
			return "", err
		}
		n++
	}
	return fmt.Sprintf("%d brokers", n), nil
}

// transfer moves a few leaderships to other replicas.
func (r *run) transfer(ctx context.Context, s step) (string, error) {
	const tries = 3
	for i := range tries {
		slot := r.slots[(int(s.Variant%1000)+i)%len(r.slots)]
		call, cancel := context.WithTimeout(ctx, 3*time.Second)
		to, err := r.transferOne(call, slot.Topic, slot.Partition, s.Variant>>10)
		cancel()
		if err == nil {
			return fmt.Sprintf("%s/%d to broker id %d", slot.Topic, slot.Partition, to), nil
		}
	}
	return "", errUnfit
}

func (r *run) transferOne(ctx context.Context, topic string, p int32, choice uint64) (int32, error) {
	d, err := r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return 0, err
	}
	part := d.GetPartitions()[p]
	var others []int32
	for _, id := range part.GetReplicas() {
		if id != part.GetLeader() {
			others = append(others, id)
		}
	}
	if len(others) == 0 {
		return 0, errUnfit
	}
	to := others[choice%uint64(len(others))]
	_, err = r.cl.Admin().TransferLeadership(ctx, &runnelv1.TransferLeadershipRequest{Topic: topic, Partition: p, To: to})
	return to, err
}
