package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/stream"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	// probeEvery is the period of the readiness probe in deploy/kubernetes.
	probeEvery = 2 * time.Second
	// replicatedWithin bounds the wait for a broker to catch up.
	replicatedWithin = 5 * time.Minute
)

// update restarts the brokers as Kubernetes updates a StatefulSet: from the last one down, each stopped and started with the same data, and
// the next one as soon as a readiness probe of /readyz?replicated says yes. It does not wait for leaders to go home, as Kubernetes does not. At
// each yes it asks the cluster itself whether every replica is in sync: a gate that lets through too early is an error.
func update(ctx context.Context, o options, cluster *proc.Cluster, s *stream.Stream) (longest []time.Duration, err error) {
	order := slices.Clone(cluster.Brokers)
	slices.Reverse(order)
	return rounds(ctx, o, cluster, s, order, func(cl *client.Client, b *proc.Broker, began time.Time) (time.Duration, string, error) {
		waited, err := replicated(ctx, b, s)
		if err != nil {
			return 0, "", err
		}
		ready := time.Since(began)
		if err := inSync(ctx, cl); err != nil {
			return 0, "", fmt.Errorf("broker %d says that all is replicated: %w", b.Number, err)
		}
		w := s.Waits()
		return w.Longest, fmt.Sprintf("replicated after %5.1f s, %d times not yet; longest wait %s", ready.Seconds(), waited, where(w, began)), nil
	})
}

// replicated waits for a yes of the readiness probe, and answers how often it said no.
func replicated(ctx context.Context, b *proc.Broker, s *stream.Stream) (refused int, err error) {
	ctx, cancel := context.WithTimeout(ctx, replicatedWithin)
	defer cancel()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		why := probe(ctx, "http://"+b.HTTP+"/readyz?replicated")
		if why == nil {
			return refused, nil
		}
		refused++
		select {
		case <-tick.C:
		case <-s.Failed():
			return refused, s.Err()
		case <-ctx.Done():
			return refused, fmt.Errorf("broker %d is not replicated: %w", b.Number, errors.Join(ctx.Err(), why))
		}
	}
}

// probe is one of the kubelet's.
func probe(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, probeEvery)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	return nil
}

// inSync is an error unless every replica of the topic is in sync and every partition has a leader.
func inSync(ctx context.Context, cl *client.Client) error {
	d, err := cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return err
	}
	for _, p := range d.GetPartitions() {
		if p.GetLeader() < 0 || len(p.GetInSync()) < len(p.GetReplicas()) {
			return fmt.Errorf("partition %d has leader %d and in sync %v of %v: %s", p.GetPartition(), p.GetLeader(), p.GetInSync(), p.GetReplicas(), p.GetReason())
		}
	}
	return nil
}
