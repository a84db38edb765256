package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// joined bounds how long a broker with an empty disk takes to be one of the cluster, while faults go on.
	joined = 60 * time.Second
	// removed bounds how long a broker takes to be emptied and removed, while faults go on.
	removed   = 2 * time.Minute
	lookEvery = 200 * time.Millisecond
)

// until asks again and again whether something holds: "" or what is missing.
func until(ctx context.Context, bound time.Duration, missing func(context.Context) string) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	why := "nobody was asked"
	for {
		if now := missing(ctx); now == "" {
			return nil
		} else if ctx.Err() == nil || why == "nobody was asked" {
			why = now
		}
		if ctx.Err() != nil {
			return errors.New(why)
		}
		nap(ctx, lookEvery)
	}
}

// wipe has a broker lose its disk. It comes back as another broker; the old one is removed.
func (r *run) wipe(ctx context.Context, s step) (string, error) {
	m, err := r.hit(s, nil)
	if err != nil {
		return "", err
	}
	old, err := r.idOf(ctx, m)
	if err != nil {
		m.give()
		return "", errUnfit
	}
	err = errors.Join(m.crash(), m.renew(), m.boot())
	m.give()
	if err != nil {
		return "", err
	}
	id, err := r.newID(r.life, m, old)
	if err != nil {
		return r.stuck("broker %d, id %d, lost its disk and is not one of the cluster again after %s: %v", m.Number, old, joined, err)
	}
	r.gone(old)
	if err := r.remove(r.life, old); err != nil {
		return r.stuck("broker id %d, whose disk is lost, cannot be removed within %s: %v", old, removed, err)
	}
	return fmt.Sprintf("broker %d was id %d and is id %d", m.Number, old, id), nil
}

// stuck says that something does not end. The run goes on, to be judged.
func (r *run) stuck(format string, args ...any) (string, error) {
	if err := r.life.Err(); err != nil {
		return "", err
	}
	r.violate("I21", format, args...)
	return "it did not end", nil
}

// newID waits until a machine has an id that is not the old one.
func (r *run) newID(ctx context.Context, m *machine, old int32) (id int32, err error) {
	err = until(ctx, joined, func(ctx context.Context) string {
		var ierr error
		if id, ierr = r.idOf(ctx, m); ierr != nil {
			return ierr.Error()
		}
		if id == old {
			return fmt.Sprintf("its id is %d still", id)
		}
		return ""
	})
	return id, err
}

// remove removes a broker, emptying it first if it lives.
func (r *run) remove(ctx context.Context, id int32) error {
	return until(ctx, removed, func(ctx context.Context) string {
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := r.cl.Admin().RemoveBroker(call, &runnelv1.RemoveBrokerRequest{Broker: id})
		if err == nil || runnelv1.AsError(err).GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER {
			return "" // an earlier try may have done it
		}
		return err.Error()
	})
}

// joinDrain starts the spare machine with an empty disk, and has another one drained and removed, which is the spare one then.
func (r *run) joinDrain(ctx context.Context, s step) (string, error) {
	spare := r.spare
	if err := spare.take(ctx); err != nil {
		return "", errUnfit
	}
	err := errors.Join(spare.renew(), spare.boot())
	spare.member.Store(true)
	spare.give()
	if err != nil {
		return "", err
	}
	if _, err := r.newID(r.life, spare, 0); err != nil {
		return r.stuck("broker %d does not join within %s: %v", spare.Number, joined, err)
	}
	var m *machine
	for _, n := range s.Order {
		if x := r.machines[n-1]; x.member.Load() && x != spare && x != r.smallMachine && r.leave(x) {
			m = x
			break
		}
	}
	var id int32
	if err := until(r.life, removed, func(ctx context.Context) string {
		var err error
		if id, err = r.idOf(ctx, m); err != nil {
			return err.Error()
		}
		return ""
	}); err != nil {
		return r.stuck("nobody tells the id of broker %d within %s: %v", m.Number, removed, err)
	}
	if err := until(r.life, removed, func(ctx context.Context) string {
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if _, err := r.cl.Admin().DrainBroker(call, &runnelv1.DrainBrokerRequest{Broker: id}); err != nil {
			return err.Error()
		}
		return ""
	}); err != nil {
		return r.stuck("broker id %d cannot be drained: %v", id, err)
	}
	if err := r.remove(r.life, id); err != nil {
		return r.stuck("broker id %d is drained and cannot be removed within %s: %v", id, removed, err)
	}
	if err := m.take(r.life); err != nil {
		return "", err
	}
	defer m.give()
	m.member.Store(false)
	r.mu.Lock()
	m.leaving = false
	r.mu.Unlock()
	r.spare = m
	r.gone(id)
	return fmt.Sprintf("broker %d joined, broker %d, id %d, was drained and removed", spare.Number, m.Number, id), m.crash()
}
