// Package runnelpeer puts Runnel itself behind the interface of the comparison.
package runnelpeer

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/runnel-io/runnel/bench/peers/system"
	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/cmd/brokerctl/load"
	"github.com/runnel-io/runnel/rpc/client"
)

// New answers Runnel, built from the source tree root.
func New(root string) system.Kind { return &kind{root: root} }

type kind struct{ root, brokerd string }

func (k *kind) Name() string { return "runnel" }

func (k *kind) Strict() bool { return true }

func (k *kind) Settings() map[string]string {
	return map[string]string{"brokers": "3", "replication factor": "3", "fsync": "each commit, before it is acknowledged", "flags": "defaults"}
}

func (k *kind) Options() []system.Option {
	return []system.Option{
		{Name: "sdk", Settings: "batch 1 MB, linger 2 ms, buffer 16 MiB, idempotent", Use: system.Many},
		{Name: "sdk-now", Settings: "linger 0", Use: system.Single},
		{Name: "sdk-read", Settings: "one reader of all partitions", Use: system.Read},
	}
}

// Fetch builds brokerd in its own module, whose dependencies are not those of the comparison.
func (k *kind) Fetch(ctx context.Context, cache string) (string, error) {
	k.brokerd = filepath.Join(cache, "brokerd")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", k.brokerd, "./cmd/brokerd")
	cmd.Dir = k.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build brokerd: %w\n%s", err, out)
	}
	rev := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD")
	rev.Dir = k.root
	out, err := rev.Output()
	if err != nil {
		return "unknown", nil // a source tree without its history still can be measured
	}
	return strings.TrimSpace(string(out)), nil
}

func (k *kind) Start(ctx context.Context, dir string) (system.Servers, error) {
	c, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3, Brokerd: k.brokerd})
	if err != nil {
		return nil, err
	}
	return servers{c}, nil
}

type servers struct{ *proc.Cluster }

var (
	_ system.Counting = servers{}
	_ system.Settling = servers{}
)

func (s servers) Addresses() []string { return s.Seeds() }
func (s servers) Stop() error         { return s.KillAll() }

func (s servers) Kill(address string) error {
	b, err := s.ByAddress(address)
	if err != nil {
		return err
	}
	return b.Kill()
}

// Commits makes servers system.Counting.
func (s servers) Commits(ctx context.Context) (commits, records float64, err error) {
	w, err := s.Work(ctx)
	return w.Commits, w.Records, err
}

// Connect makes the client.
func Connect(addresses []string) (system.Client, error) {
	c, err := client.New(addresses)
	if err != nil {
		return nil, err
	}
	return &sdk{Cluster: load.SDK(addresses, c), c: c}, nil
}

type sdk struct {
	load.Cluster
	c *client.Client
}

func (s *sdk) Leaders(ctx context.Context, topic string) ([]string, error) {
	md, err := s.c.Metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	byID := map[int32]string{}
	for _, b := range md.GetBrokers() {
		byID[b.GetId()] = b.GetAddress()
	}
	if len(md.GetTopics()) != 1 {
		return nil, errors.New("the topic is not in the metadata")
	}
	partitions := md.GetTopics()[0].GetPartitions()
	leaders := make([]string, len(partitions))
	for _, p := range partitions {
		address, ok := byID[p.GetLeaderId()]
		if !ok {
			return nil, fmt.Errorf("partition %d has no leader", p.GetPartition())
		}
		leaders[p.GetPartition()] = address
	}
	return leaders, nil
}

func (s *sdk) One(ctx context.Context, topic string, partition int32, value []byte) error {
	return s.c.ProduceSync(ctx, &client.Record{Topic: topic, Partition: partition, Value: value})
}

func (s *sdk) Close() error { return s.c.Close() }
