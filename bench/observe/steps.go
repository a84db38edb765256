package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// step is something that befalls the brokers, and the alerts that have to fire by it.
type step struct {
	name   string
	alerts []string
	do     func(ctx context.Context, r *run) (undo func(context.Context) error, err error)
}

// steps stand in an order in which none has by the way what a later one is to cause.
func steps() []step {
	return []step{
		{"all is well", nil, calm},
		{"partitions move", nil, moves},
		{"strangers call", nil, strangers},
		{"a certificate expires, and clients crowd", []string{"RunnelCertificateExpiring", "RunnelConnectionsRefused"}, expiring},
		{"leaders are transferred without end", []string{"RunnelLeadershipFlapping", "RunnelPartitionFlapping"}, flap},
		{"each sync takes 0.3 s, and more is sent", []string{"RunnelFsyncSlow", "RunnelProduceSlow", "RunnelProducersHeldBack"}, slow},
		{"a disk hangs", []string{"RunnelPartitionStalled"}, hang},
		{"a disk fills", []string{"RunnelDiskPredictedFull"}, fills},
		{"a disk is nearly full", []string{"RunnelDiskLow"}, low},
		{"a disk is full", []string{"RunnelDiskFull"}, full},
		{"two of three brokers are stopped", []string{"RunnelReplicasWithoutLeader", "RunnelNoController"}, stopTwo},
		{"a broker is killed", []string{"RunnelBrokerDown", "RunnelUnderReplicated", "RunnelPartitionLeaderless"}, kill},
		{"a broker starts without the others", []string{"RunnelBrokerNotReady"}, lonely},
		{"syncs fail", []string{"RunnelLogPoisoned", "RunnelReplicaQuarantined"}, failing},
		{"all is well again", nil, rest},
	}
}

// calm is a while in which no alert may fire.
func calm(ctx context.Context, r *run) (func(context.Context) error, error) {
	if err := fill(ctx, r.cl, 6); err != nil {
		return nil, err
	}
	if err := proc.Wait(ctx, 15*time.Second); err != nil {
		return nil, err
	}
	now, err := r.prom.firing(ctx)
	for name := range now {
		r.say("alert", name, true, "fires while all is well")
	}
	return nil, err
}

// moves carries each partition of payments to the broker that has none of it, and turns one back. The controller moves some too, to balance.
func moves(ctx context.Context, r *run) (func(context.Context) error, error) {
	ids, err := r.ids(ctx)
	if err != nil {
		return nil, err
	}
	const last = paymentsPartitions - 1
	for p := range int32(last) {
		if err := r.until(ctx, "the partition is free to be moved", func() (bool, error) { return true, r.move(ctx, p, ids) }); err != nil {
			return nil, err
		}
	}
	// A move that has ended before it could be turned back is followed by another one.
	if err := r.until(ctx, "a move is turned back", func() (bool, error) {
		if err := r.move(ctx, last, ids); err != nil {
			return false, err
		}
		_, err := r.cl.Admin().CancelMove(ctx, &runnelv1.CancelMoveRequest{Topic: payments, Partition: last})
		return true, err
	}); err != nil {
		return nil, err
	}
	return nil, r.until(ctx, "all moves have ended", func() (bool, error) {
		l, err := r.cl.Admin().ListMoves(ctx, &runnelv1.ListMovesRequest{})
		return len(l.GetMoves()) == 0, err
	})
}

func (r *run) move(ctx context.Context, partition int32, ids []int32) error {
	d, err := r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: payments})
	if err != nil {
		return err
	}
	had := d.GetPartitions()[partition].GetReplicas()
	to := had[:1:1]
	for _, id := range ids {
		if !slices.Contains(had, id) {
			to = append(to, id)
		}
	}
	_, err = r.cl.Admin().MovePartition(ctx, &runnelv1.MovePartitionRequest{Topic: payments, Partition: partition, Brokers: to})
	return err
}

// ids are the brokers' ids, in the order of the processes.
func (r *run) ids(ctx context.Context) ([]int32, error) {
	l, err := r.cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return nil, err
	}
	var out []int32
	for _, b := range r.cluster.Brokers {
		for _, known := range l.GetBrokers() {
			if known.GetAddress() == b.Client {
				out = append(out, known.GetId())
			}
		}
	}
	if len(out) != len(r.cluster.Brokers) {
		return nil, fmt.Errorf("%d of %d brokers are known", len(out), len(r.cluster.Brokers))
	}
	return out, nil
}

// strangers says nonsense on the port of the brokers, and asks for what is not there on that of clients.
func strangers(ctx context.Context, r *run) (func(context.Context) error, error) {
	for range 5 {
		for _, b := range r.cluster.Brokers {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.Peer)
			if err != nil {
				return nil, err
			}
			_, err = c.Write([]byte("GET / HTTP/1.1\r\nHost: nobody\r\n\r\n"))
			if err := errors.Join(err, c.Close()); err != nil {
				return nil, err
			}
		}
		if err := proc.Wait(ctx, time.Second); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// flap hands the leaderships of orders round and round until the step is over.
func flap(ctx context.Context, r *run) (func(context.Context) error, error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with undo
		defer close(done)
		for n := 1; ctx.Err() == nil; n++ {
			d, err := r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: orders})
			if err != nil {
				continue // it is asked again; ctx ends it
			}
			for _, p := range d.GetPartitions() {
				at := slices.Index(p.GetReplicas(), p.GetLeader())
				to := p.GetReplicas()[(at+1)%len(p.GetReplicas())]
				_, _ = r.cl.Admin().TransferLeadership(ctx, &runnelv1.TransferLeadershipRequest{Topic: orders, Partition: p.GetPartition(), To: to}) // the next round tries again
			}
		}
	}()
	return func(context.Context) error { cancel(); <-done; return nil }, nil
}

// slow delays each sync of two brokers, so that every commit waits for one, and sends more than they write.
func slow(ctx context.Context, r *run) (func(context.Context) error, error) {
	ctx, cancel := context.WithCancel(ctx)
	var ends []func() error
	undo := func() error {
		cancel()
		var errs []error
		for _, end := range ends {
			errs = append(errs, end())
		}
		return errors.Join(errs...)
	}
	for _, b := range r.cluster.Brokers[:2] {
		end, err := inject(r.dir, b, "delay_exit=300000")
		if err != nil {
			return nil, errors.Join(err, undo())
		}
		ends = append(ends, end)
	}
	wait, err := r.load.flood(ctx, r.cluster.Seeds())
	if err != nil {
		return nil, errors.Join(err, undo())
	}
	altered := make(chan struct{})
	go func() { // ends with undo
		defer close(altered)
		n := 0
		each(ctx, 50*time.Millisecond, func() {
			n++
			// An operator's changes wait for the disks too. Errors are no news.
			_, _ = r.cl.Admin().AlterTopic(ctx, &runnelv1.AlterTopicRequest{Name: "old", SetConfig: map[string]string{"retention.ms": fmt.Sprint(86_400_000 + n)}})
		})
	}()
	return func(ctx context.Context) error {
		err := undo()
		wait()
		<-altered
		return errors.Join(err, r.settled(ctx))
	}, nil
}

// hang has each sync of one broker take six seconds.
func hang(_ context.Context, r *run) (func(context.Context) error, error) {
	end, err := inject(r.dir, r.cluster.Brokers[0], "delay_exit=6000000")
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return errors.Join(end(), r.settled(ctx)) }, nil
}

// failing has the syncs of one broker's segments fail; those of meta.db would end the whole broker.
func failing(_ context.Context, r *run) (func(context.Context) error, error) {
	segments, err := filepath.Glob(filepath.Join(r.disks[2].mount, "data", "replicas", "*", "*.seg"))
	if err != nil {
		return nil, err
	}
	end, err := inject(r.dir, r.cluster.Brokers[2], "error=EIO", segments...)
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { return end() }, nil
}

// fills takes up space bit by bit until four tenths are left.
func fills(ctx context.Context, r *run) (func(context.Context) error, error) {
	return nil, r.take(ctx, diskBytes*4/10)
}

func low(ctx context.Context, r *run) (func(context.Context) error, error) {
	return nil, r.take(ctx, reserve*3/2)
}

// full takes up more than the reserve, and in the end all that is left, until replicas wait for space.
func full(ctx context.Context, r *run) (func(context.Context) error, error) {
	return func(ctx context.Context) error {
		if err := r.until(ctx, "replicas wait for space", func() (bool, error) {
			if err := r.disks[2].leave(0); err != nil && !errors.Is(err, syscall.ENOSPC) { // the broker may have been quicker
				return false, err
			}
			return r.holds(ctx, "sum(runnel_raft_waiting_for_space_groups) > 0")
		}); err != nil {
			return err
		}
		if err := r.disks[2].clear(); err != nil {
			return err
		}
		return r.settled(ctx)
	}, r.take(ctx, reserve/2)
}

// take takes up the third broker's disk until so much is left, within some seconds.
func (r *run) take(ctx context.Context, left int64) error {
	free, _, err := r.disks[2].free()
	if err != nil {
		return err
	}
	const parts = 8
	for i := int64(1); i <= parts; i++ {
		if err := errors.Join(r.disks[2].leave(free+(left-free)*i/parts), proc.Wait(ctx, 500*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// kill kills the third broker. A topic is deleted meanwhile, so that a replica is left to be deleted.
func kill(ctx context.Context, r *run) (func(context.Context) error, error) {
	b := r.cluster.Brokers[2]
	if err := b.Kill(); err != nil {
		return nil, err
	}
	_, err := r.cl.Admin().DeleteTopic(ctx, &runnelv1.DeleteTopicRequest{Name: "old"})
	return func(ctx context.Context) error {
		if err := b.Start(); err != nil {
			return err
		}
		return errors.Join(b.Ready(ctx), r.settled(ctx))
	}, err
}

// stopTwo stops two brokers as if their hosts hung, until gossip suspects one, which it has to contradict afterwards. Before any broker is
// killed: gossip looks for the process that was for some seconds more, and ever more slowly for all others meanwhile.
func stopTwo(ctx context.Context, r *run) (func(context.Context) error, error) {
	signal := func(s syscall.Signal) error {
		return errors.Join(r.cluster.Brokers[1].Signal(s), r.cluster.Brokers[2].Signal(s))
	}
	undo := func(ctx context.Context) error {
		return errors.Join(signal(syscall.SIGCONT), r.settled(ctx), r.until(ctx, "a suspicion is contradicted", func() (bool, error) {
			return r.holds(ctx, "sum(rate(runnel_gossip_false_suspicions_total[15s])) > 0")
		}))
	}
	watching := r.cluster.Brokers[0]
	had, err := suspicions(watching)
	if err != nil {
		return nil, err
	}
	if err := signal(syscall.SIGSTOP); err != nil {
		return undo, err
	}
	return undo, r.until(ctx, "gossip suspects a stopped broker, and the one that suspects it tells that it is not well itself", func() (bool, error) {
		have, err := suspicions(watching)
		if err != nil || have == had {
			return false, err
		}
		return r.holds(ctx, "max(runnel_gossip_health_score) > 0")
	})
}

// holds tells whether a condition has a series now.
func (r *run) holds(ctx context.Context, expr string) (bool, error) {
	now := time.Now()
	lines, err := r.prom.query(ctx, expr, now, now)
	return len(lines) > 0, err
}

// suspicions tells how often a broker logged that it suspects another.
func suspicions(b *proc.Broker) (int, error) {
	log, err := os.ReadFile(b.LogFile())
	return bytes.Count(log, []byte(`msg="Suspect `)), err
}

// lonely kills all brokers and starts one.
func lonely(_ context.Context, r *run) (func(context.Context) error, error) {
	if err := errors.Join(r.cluster.KillAll(), r.cluster.Brokers[0].Start()); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := errors.Join(r.cluster.Brokers[1].Start(), r.cluster.Brokers[2].Start()); err != nil {
			return err
		}
		return errors.Join(r.cluster.Ready(ctx), r.settled(ctx))
	}, nil
}

// rest is a while in which everything comes back. What is to be shown at the end may come as late as that: the controller sends leaders home
// once brokers have been there for some seconds.
func rest(ctx context.Context, r *run) (func(context.Context) error, error) {
	if err := proc.Wait(ctx, 8*time.Second); err != nil {
		return nil, err
	}
	_ = r.until(ctx, "each panel shows something", func() (bool, error) { return r.shown(ctx) }) // those that show nothing are named after all steps
	return nil, ctx.Err()
}

// settled waits until every partition is led and all of its replicas are in sync.
func (r *run) settled(ctx context.Context) error {
	return r.until(ctx, "all partitions are led and in sync", func() (bool, error) {
		for _, topic := range []string{orders, payments, audit} {
			call, cancel := context.WithTimeout(ctx, 5*time.Second)
			d, err := r.cl.Admin().DescribeTopic(call, &runnelv1.DescribeTopicRequest{Name: topic})
			cancel()
			if err != nil {
				return false, err
			}
			for _, p := range d.GetPartitions() {
				if p.GetLeader() < 0 || len(p.GetInSync()) != len(p.GetReplicas()) {
					return false, fmt.Errorf("%s/%d: leader %d, replicas on %v, in sync %v", topic, p.GetPartition(), p.GetLeader(), p.GetReplicas(), p.GetInSync())
				}
			}
		}
		return true, nil
	})
}
