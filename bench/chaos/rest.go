package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/workload"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// The bounds of I21, from the moment that all faults are healed.
const (
	writesWithin  = 30 * time.Second // until each partition has acknowledged a new record
	healthyWithin = 2 * time.Minute  // until all copies of all partitions are there
	readWithin    = 30 * time.Second // until a reader has got all that was acknowledged
	agreeWithin   = 90 * time.Second // until all replicas can be read in full; one whose damage is met then is replaced first
)

// rest waits until the healed cluster is at rest, and answers the history with all logs. I23 is for processes that are old.
func (r *run) rest(ctx context.Context, n int, old time.Duration) (check.History, error) {
	healed := time.Now()
	r.takesWrites(ctx)
	fmt.Printf("%7.1f s  healed; every partition took a write after %.1f s\n", r.now().Seconds(), time.Since(healed).Seconds())
	r.w.StopSending()
	if err := until(ctx, healthyWithin, r.unwhole); err != nil && ctx.Err() == nil {
		r.violate("I21", "not all copies of all partitions are there %s after healing: %v", healthyWithin, err)
	}
	r.fact("I21", 1)
	fmt.Printf("%7.1f s  all copies are there %.1f s after healing\n", r.now().Seconds(), time.Since(healed).Seconds())
	if err := until(ctx, readWithin, func(context.Context) string {
		if n := r.w.Unread(); n > 0 {
			return fmt.Sprintf("%d records", n)
		}
		return ""
	}); err != nil && ctx.Err() == nil {
		r.violate("I2", "a reader that followed has not got %v that were acknowledged, %s after everything was at rest", err, readWithin)
	}
	r.fact("I2", len(r.slots))
	due := r.now()
	r.takesWhatIsDue(ctx)
	fmt.Printf("%7.1f s  retention has nothing to take any more, after %.1f s\n", r.now().Seconds(), (r.now() - due).Seconds())
	r.leaks(ctx, n, old)
	if err := ctx.Err(); err != nil {
		return check.History{}, err
	}
	return r.history(ctx)
}

// takesWrites checks that each partition acknowledges something new.
func (r *run) takesWrites(ctx context.Context) {
	before := r.w.AckedOf()
	var late []int
	if err := until(ctx, writesWithin, func(context.Context) string {
		late = late[:0]
		for slot, n := range r.w.AckedOf() {
			if n <= before[slot] {
				late = append(late, slot)
			}
		}
		if len(late) > 0 {
			return "some are late"
		}
		return ""
	}); err != nil && ctx.Err() == nil {
		for _, slot := range late {
			r.violate("I21", "%s/%d takes no write within %s after healing", r.slots[slot].Topic, r.slots[slot].Partition, writesWithin)
		}
	}
	r.fact("I21", len(r.slots))
}

// history reads all logs from the leaders and from every replica, and the list of topics.
func (r *run) history(ctx context.Context) (check.History, error) {
	var h check.History
	again := func(what string, err error) string {
		r.unreadable(err) // whether or not that replica is replaced meanwhile
		return what + err.Error()
	}
	err := until(ctx, agreeWithin, func(ctx context.Context) string {
		call, cancel := context.WithTimeout(ctx, agreeWithin/3)
		defer cancel()
		seen := r.rec.History() // before the logs are read: nothing that was seen by then may be missing in them
		final, err := workload.Final(call, r.target(), r.topics)
		if err != nil {
			return again("reading as a client: ", err)
		}
		h = seen
		h.Final = final
		if h.Replicas, err = workload.AllReplicas(call, r.target(), r.topics, final); err != nil {
			return again("", err)
		}
		return ""
	})
	if err != nil && ctx.Err() == nil {
		r.violate("I14", "not all replicas can be read within %s, with all copies there: %v", agreeWithin, err)
	}
	if h.Final == nil {
		h = r.rec.History()
	}
	if h.FinalTopics, err = r.topicNames(ctx); err != nil && ctx.Err() == nil {
		r.violate("I21", "nobody answers which topics there are, %s after everything was at rest: %v", readWithin, err)
	}
	h.Keep = keeps(r.topics)
	return h, ctx.Err()
}

func (r *run) topicNames(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	list, err := r.cl.Admin().ListTopics(ctx, &runnelv1.ListTopicsRequest{})
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, t := range list.GetTopics() {
		out[t.GetName()] = true
	}
	return out, nil
}

// identities checks I19: a broker that lost its disk, or was removed, has no part in anything any more.
func (r *run) identities(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	if err := r.lookForRemoved(call); err != nil && ctx.Err() == nil {
		r.violate("I21", "nobody answers who the brokers are and what they hold, %s after everything was at rest: %v", readWithin, err)
	}
}

func (r *run) lookForRemoved(ctx context.Context) error {
	r.mu.Lock()
	var old []int32
	for id := range r.removed {
		old = append(old, id)
	}
	r.mu.Unlock()
	list, err := r.cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return err
	}
	for _, b := range list.GetBrokers() {
		if slices.Contains(old, b.GetId()) {
			r.violate("I19", "broker id %d was removed and is listed", b.GetId())
		}
	}
	for _, t := range r.topics {
		d, err := r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: t.Name})
		if err != nil {
			return err
		}
		for _, p := range d.GetPartitions() {
			for _, id := range old {
				if p.GetLeader() == id || slices.Contains(p.GetReplicas(), id) {
					r.violate("I19", "%s/%d: broker id %d was removed and has a replica", t.Name, p.GetPartition(), id)
				}
			}
		}
	}
	r.fact("I19", len(old))
	return nil
}

// tidy deletes the topics of a round, so that the next one begins with as much as this one did.
func (r *run) tidy(ctx context.Context) error {
	names, err := r.topicNames(ctx)
	if err != nil {
		return err
	}
	for name := range names {
		call, cancel := context.WithTimeout(ctx, readWithin)
		_, err := r.cl.Admin().DeleteTopic(call, &runnelv1.DeleteTopicRequest{Name: name})
		cancel()
		if err != nil {
			return fmt.Errorf("deleting topic %s: %w", name, err)
		}
	}
	return nil
}
