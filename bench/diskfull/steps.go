package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// within bounds every wait for what has to come about.
const within = time.Minute

// readWithin bounds a read for which nothing has to come about.
const readWithin = 5 * time.Second

// oneLow: others lead, who take what is refused there; and the leaders come back.
func (r *diskfull) oneLow(ctx context.Context) error {
	b := r.cluster.Brokers[0]
	id, err := r.id(ctx, 0)
	if err != nil {
		return err
	}
	if r.home[id] == 0 {
		return errors.New("the broker leads nothing")
	}
	if err := r.disks[0].leave(reserve + reserve/8); err != nil { // most of it first: the broker looks each second
		return err
	}
	if err := r.disks[0].leave(reserve / 2); err != nil {
		return err
	}
	began := time.Now()
	took, err := r.await(ctx, "leadership moves off the broker whose disk is below the reserve", func() (string, error) {
		n, err := r.leaders(ctx)
		return fmt.Sprintf("it leads %d partitions", n[id]), orWait(err, n[id] == 0 && n[-1] == 0)
	})
	if err != nil {
		return err
	}
	fmt.Printf("  its leaders were elsewhere after %.1f s\n", took.Seconds())
	if err := r.reads(ctx, b); err != nil {
		r.violated("reads from a broker below its reserve: %v", err)
	}
	if err := r.pause(ctx, r.o.hold-time.Since(began)); err != nil {
		return err
	}
	if free, err := r.disks[0].free(); err != nil || free == 0 {
		r.violated("the disk below the reserve ran full, though nothing else wrote to it (%v)", err)
	}
	if w := r.waited(); w > r.o.most {
		r.violated("a record waited %s while one disk was below the reserve", w)
	}
	if err := r.disks[0].clear(); err != nil {
		return err
	}
	return r.recovered(ctx, "one disk below the reserve")
}

// oneFull: the replicas there wait for space, the others go on; with space they catch up.
func (r *diskfull) oneFull(ctx context.Context) error {
	if err := r.hold(ctx, 0); err != nil {
		return err
	}
	if err := r.stillRead(ctx, "one disk is full"); err != nil {
		return err
	}
	if w := r.waited(); w > r.o.most {
		r.violated("a record waited %s while one disk was full", w)
	}
	if err := r.disks[0].clear(); err != nil {
		return err
	}
	return r.recovered(ctx, "one disk without a byte left")
}

// hold keeps disks full for a while: what brokers delete meanwhile is taken up again.
func (r *diskfull) hold(ctx context.Context, which ...int) error {
	for end := time.Now().Add(r.o.hold); time.Now().Before(end); {
		for _, n := range which {
			if err := r.disks[n].leave(0); err != nil {
				return err
			}
		}
		if err := r.pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// allLow: everybody refuses, everything is read.
func (r *diskfull) allLow(ctx context.Context) error {
	for n := range brokers {
		if err := r.disks[n].leave(reserve / 2); err != nil {
			return err
		}
	}
	var refused *runnelv1.Error
	if _, err := r.await(ctx, "all that lead refuse", func() (string, error) {
		for _, b := range r.cluster.Brokers {
			e, leads, err := r.refusal(ctx, b)
			if err != nil || leads && e == nil {
				return fmt.Sprintf("broker %d takes records", b.Number), orWait(err, false)
			}
			if e != nil {
				refused = e
			}
		}
		return "nobody leads", orWait(nil, refused != nil)
	}); err != nil {
		return err
	}
	if refused.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || refused.GetMessage() == "" {
		r.violated("refused with %v (%s)", refused, refused.GetKind())
	}
	fmt.Printf("  refused with: %s\n", refused.GetMessage())
	acked := r.s.Acked()
	if err := r.pause(ctx, 3*time.Second); err != nil {
		return err
	}
	if now := r.s.Acked(); now != acked {
		r.violated("%d records were acknowledged while all disks were below the reserve", now-acked)
	}
	for n, b := range r.cluster.Brokers {
		if err := r.reads(ctx, b); err != nil {
			r.violated("reads from broker %d while all disks are below the reserve: %v", n+1, err)
		}
	}
	if err := r.killed(ctx); err != nil {
		return err
	}
	for _, d := range r.disks[:brokers] {
		if err := d.clear(); err != nil {
			return err
		}
	}
	return r.recovered(ctx, "all disks below the reserve")
}

// allFull: nobody can write a record, and everything is read.
func (r *diskfull) allFull(ctx context.Context) error {
	if err := r.hold(ctx, 0, 1, 2); err != nil {
		return err
	}
	if err := r.stillRead(ctx, "all disks are full"); err != nil {
		return err
	}
	for n, b := range r.cluster.Brokers {
		if !b.Running() {
			r.violated("broker %d ended when all disks were full", n+1)
		}
	}
	for n := range brokers {
		if err := r.disks[n].clear(); err != nil {
			return err
		}
	}
	for i, b := range r.cluster.Brokers { // see steps
		if b.Running() {
			continue
		}
		if err := r.start(i); err != nil {
			return err
		}
		if err := b.Ready(ctx); err != nil {
			return err
		}
	}
	return r.recovered(ctx, "all disks without a byte left")
}

// killed kills the brokers and starts them again while nobody has a byte left: they start, agree on leaders, and everything is read. Records were refused
// before: where some are in one log alone, as when a disk is filled within a second (see allFull), its replica may come to lead, and then nothing is
// committed, nor read, before the others have space for those.
func (r *diskfull) killed(ctx context.Context) error {
	if err := r.cluster.KillAll(); err != nil {
		return err
	}
	for _, d := range r.disks[:brokers] {
		if err := d.leave(0); err != nil {
			return err
		}
	}
	for i := range r.cluster.Brokers {
		if err := r.start(i); err != nil {
			return err
		}
	}
	took, err := r.await(ctx, "there are leaders, with all brokers killed and started again on full disks", func() (string, error) {
		n, err := r.leaders(ctx)
		return fmt.Sprintf("%d of %d partitions have none", n[-1], partitions), orWait(err, n[-1] == 0)
	})
	if err != nil {
		r.violated("%v", err)
		return nil // it goes on with space
	}
	fmt.Printf("  leaders %.1f s after all were killed and started again\n", took.Seconds())
	return r.stillRead(ctx, "all disks are full, after a start")
}

// start starts the i-th broker again.
func (r *diskfull) start(i int) error {
	b := r.cluster.Brokers[i]
	if err := b.Start(); err != nil {
		return err
	}
	r.pids[i] = b.PID()
	return nil
}

// newcomer: a broker whose disk is below the reserve stays out, and says why. With space it joins and is filled, also if its disk runs full
// meanwhile.
func (r *diskfull) newcomer(ctx context.Context) error {
	d := r.disks[brokers]
	if err := d.leave(reserve / 2); err != nil {
		return err
	}
	b, err := r.cluster.Add()
	if err != nil {
		return err
	}
	r.pids = append(r.pids, b.PID())
	if _, err := r.await(ctx, "the new broker says that its disk is full", func() (string, error) {
		why, err := notReady(ctx, b)
		return why, orWait(err, strings.Contains(why, "disk is full"))
	}); err != nil {
		return err
	}
	if err := d.clear(); err != nil {
		return err
	}
	if err := b.Ready(ctx); err != nil {
		return err
	}
	id, err := r.id(ctx, brokers)
	if err != nil {
		return err
	}
	if _, err := r.await(ctx, "a replica is on its way to the new broker", func() (string, error) {
		o, err := r.cl.Admin().ListMoves(ctx, &runnelv1.ListMovesRequest{})
		return "no move", orWait(err, len(o.GetMoves()) > 0)
	}); err != nil {
		return err
	}
	if err := r.hold(ctx, brokers); err != nil {
		return err
	}
	if !b.Running() {
		r.violated("the new broker ended when its disk was full")
		return nil
	}
	if err := d.clear(); err != nil {
		return err
	}
	// Its share is so many of the replicas that each of the others had before, and is bound to take what the rate allows; twice that, since the
	// sources grow meanwhile.
	const share = partitions * 3 / (brokers + 1)
	used, err := r.disks[0].used()
	if err != nil {
		return err
	}
	least := time.Duration(float64(used) * share / partitions / recoveryRate * float64(time.Second))
	took, err := r.awaitWithin(ctx, within+2*least, "the new broker is filled", func() (string, error) {
		n, err := r.replicasOn(ctx, id)
		return fmt.Sprintf("it has %d replicas", n), orWait(err, n >= share)
	})
	if err == nil {
		fmt.Printf("  the new broker had its share %.1f s after there was space again; at its rate of recovery, %d MiB take %.1f s\n",
			took.Seconds(), used*share/partitions>>20, least.Seconds())
	}
	return err
}

// errWait: not yet.
var errWait = errors.New("not yet")

func orWait(err error, ok bool) error {
	if err == nil && !ok {
		return errWait
	}
	return err
}
