package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/workload"
)

// verdict ends the load and compares all that was sent with what readers get and with what each replica holds.
func (r *run) verdict(ctx context.Context) error {
	followed, err := r.stream.Stop(ctx)
	if err != nil {
		return err
	}
	reread, err := r.stream.Reread(ctx, r.cluster.Seeds())
	if err != nil {
		return err
	}
	acked := r.stream.Acked()
	fmt.Printf("\n%d records acknowledged; the reader that followed got %d, one that started anew %d\n", acked, followed.Records, reread.Records)
	fmt.Printf("%d of %d files identical, lost %d, duplicated %d\n", reread.Identical, reread.Files,
		max(followed.Lost, reread.Lost), max(followed.Duplicated, reread.Duplicated))
	if err := errors.Join(followed.Err(), reread.Err()); err != nil {
		return err
	}
	if followed.Records != acked || reread.Records != acked {
		return errors.New("the records read are not the records acknowledged")
	}
	n, err := r.replicasAgree(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d replicas hold the same bytes as the others of their partition\n", n)
	return nil
}

// replicasAgree hashes every replica of the topic.
func (r *run) replicasAgree(ctx context.Context) (replicas int, err error) {
	var h check.History
	bounds, err := workload.Bounds(ctx, r.cl, topic)
	if err != nil {
		return 0, err
	}
	if h.Replicas, err = workload.Replicas(ctx, r.cluster.Seeds(), topic, bounds); err != nil {
		return 0, err
	}
	for _, v := range check.Verify(h) {
		err = errors.Join(err, errors.New(v.String()))
	}
	for _, hashes := range h.Replicas {
		replicas += len(hashes)
	}
	return replicas, err
}
