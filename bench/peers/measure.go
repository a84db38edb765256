package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/bench/peers/kafkapeer"
	"github.com/runnel-io/runnel/bench/peers/natspeer"
	"github.com/runnel-io/runnel/bench/peers/runnelpeer"
	"github.com/runnel-io/runnel/bench/peers/system"
	"github.com/runnel-io/runnel/cmd/brokerctl/load"
	"github.com/runnel-io/runnel/rpc/client"
)

// task is one measurement, as the runner hands it to the process that carries it out.
type task struct {
	System    string
	Addresses []string
	Option    string
	Config    load.Config
}

// measurement is what comes of it.
type measurement struct {
	Option           string  `json:"option"`
	RecordsPerSecond float64 `json:"records_per_second,omitempty"`
	MBPerSecond      float64 `json:"mb_per_second,omitempty"`
	P50US            float64 `json:"p50_us,omitempty"`
	P99US            float64 `json:"p99_us,omitempty"`
	P999US           float64 `json:"p999_us,omitempty"`
	MaxUS            float64 `json:"max_us,omitempty"`
	OutageMS         float64 `json:"outage_ms,omitempty"`
	// Acked records in all, with the warm-up, and those found when all was read back. Consume rows have neither.
	Acked    int64 `json:"acked,omitempty"`
	ReadBack int64 `json:"read_back,omitempty"`
	// CommitsPerSecond are durable transactions of all servers together at this rate, and RecordsPerCommit how many records
	// one of a replica's made durable, on average with the warm-up. Only of rows that write, on system.Counting.
	CommitsPerSecond float64 `json:"commits_per_second,omitempty"`
	RecordsPerCommit float64 `json:"records_per_commit,omitempty"`
	// Skipped says why there is nothing to measure.
	Skipped string `json:"skipped,omitempty"`
	// Failed says why the run does not count.
	Failed string `json:"failed,omitempty"`
}

// measureLimit bounds one measurement whatever happens.
const measureLimit = 2 * time.Minute

// measure carries a task out in a process of its own, so that none finds the heap of the one before.
func measure(ctx context.Context, t task) measurement {
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	m, err := measureIn(ctx, t)
	m.Option = t.Option
	if err != nil {
		m.Failed = err.Error()
	}
	return m
}

func measureIn(ctx context.Context, t task) (m measurement, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	arg, err := json.Marshal(t)
	if err != nil {
		return m, err
	}
	cmd := exec.CommandContext(ctx, self, "-measure", string(arg))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return m, fmt.Errorf("%w: %.600s", err, strings.TrimSpace(errOut.String()))
	}
	return m, json.Unmarshal(out.Bytes(), &m)
}

// measureSettling is measureCounting, and waits until the topic of the measurement is deleted where servers tell it: the next
// measurement would find them at work.
func measureSettling(ctx context.Context, t task, servers system.Servers) measurement {
	settling, ok := servers.(system.Settling)
	if !ok {
		return measureCounting(ctx, t, servers)
	}
	topics, err := settling.Topics(ctx)
	if err != nil {
		return measurement{Option: t.Option, Failed: err.Error()}
	}
	m := measureCounting(ctx, t, servers)
	if err := settling.Settled(ctx, topics); err != nil && m.Failed == "" { // a failed one may have left its topic
		m.Failed = "afterwards: " + err.Error()
	}
	return m
}

// measureCounting is measure, and puts the servers' commits beside the rate where they tell them.
func measureCounting(ctx context.Context, t task, servers system.Servers) measurement {
	counting, ok := servers.(system.Counting)
	if !ok || t.Config.Mode == load.Consume {
		return measure(ctx, t)
	}
	commits, records, err := counting.Commits(ctx)
	if err != nil {
		return measurement{Option: t.Option, Failed: err.Error()}
	}
	m := measure(ctx, t)
	if !m.ok() {
		return m
	}
	commitsAfter, recordsAfter, err := counting.Commits(ctx)
	if err != nil {
		m.Failed = err.Error()
		return m
	}
	m.count(commitsAfter-commits, recordsAfter-records, t.Config.ReplicationFactor)
	return m
}

// count works out the figures of commits that were made for records.
func (m *measurement) count(commits, records float64, replicas int32) {
	if commits <= 0 || records <= 0 {
		return
	}
	m.RecordsPerCommit = records * float64(replicas) / commits
	m.CommitsPerSecond = m.RecordsPerSecond * commits / records
}

// child is the other side of measure: it prints the measurement.
func child(ctx context.Context, arg string) error {
	var t task
	if err := json.Unmarshal([]byte(arg), &t); err != nil {
		return err
	}
	c, err := connect(t.System, t.Addresses, t.Option)
	if err != nil {
		return err
	}
	m, err := carryOut(ctx, c, t.Config)
	if err = errors.Join(err, c.Close()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

// connect makes the client of a column.
func connect(name string, addresses []string, option string) (system.Client, error) {
	switch family, _, _ := strings.Cut(name, "-"); family {
	case "runnel":
		return runnelpeer.Connect(addresses)
	case "nats":
		return natspeer.Connect(addresses, option)
	case "kafka":
		return kafkapeer.Connect(addresses, option)
	}
	return nil, fmt.Errorf("no system %q", name)
}

// carryOut measures on a topic of its own, reads it back, and removes it.
func carryOut(ctx context.Context, c load.Cluster, config load.Config) (m measurement, err error) {
	counted := &counting{Cluster: c}
	if config.Mode != load.Consume { // which fills, and removes, a topic by itself
		config.Topic = newTopic()
		if err := create(ctx, c, config.Topic, config.Partitions); err != nil {
			return m, err
		}
		defer func() { err = errors.Join(err, c.DeleteTopic(context.WithoutCancel(ctx), config.Topic)) }()
	}
	res, err := load.Run(ctx, counted, config, nil)
	if err != nil {
		return m, err
	}
	if res.Errors > 0 {
		return m, fmt.Errorf("%d errors, the first: %s", res.Errors, res.FirstError)
	}
	m = measurement{RecordsPerSecond: res.RecordsPerSecond, MBPerSecond: res.MBPerSecond}
	for _, l := range []struct {
		from *int64
		to   *float64
	}{{res.P50US, &m.P50US}, {res.P99US, &m.P99US}, {res.P999US, &m.P999US}, {res.MaxUS, &m.MaxUS}} {
		if l.from != nil {
			*l.to = float64(*l.from)
		}
	}
	if config.Mode == load.Consume {
		return m, nil
	}
	// Without errors everything handed over was acknowledged.
	m.Acked = counted.handed.Load()
	var size int64
	if m.ReadBack, size, err = readBack(ctx, c, config.Topic, config.Partitions); err != nil {
		return m, fmt.Errorf("reading back: %w", err)
	}
	if m.ReadBack != m.Acked || size != m.Acked*int64(config.RecordSize) {
		return m, fmt.Errorf("%d records were acknowledged, %d (%d bytes) read back", m.Acked, m.ReadBack, size)
	}
	return m, nil
}

func newTopic() string {
	var suffix [4]byte
	_, _ = rand.Read(suffix[:]) // never fails
	return "peers-" + hex.EncodeToString(suffix[:])
}

func create(ctx context.Context, c load.Cluster, topic string, partitions int32) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := c.CreateTopic(ctx, topic, partitions, 3, nil); err != nil {
		return fmt.Errorf("creating topic %s: %w", topic, err)
	}
	return nil
}

// readBack counts what a topic holds.
func readBack(ctx context.Context, c load.Cluster, topic string, partitions int32) (records, size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cons, err := c.Consumer()
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, cons.Close()) }()
	all := make([]int32, partitions)
	for p := range all {
		all[p] = int32(p)
	}
	r, err := cons.NewReader(topic, load.ReaderOptions{Partitions: all, ToEnd: true})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for rec, err := range r.Records(ctx) {
		if err != nil {
			return records, size, fmt.Errorf("after %d records: %w", records, err)
		}
		records++
		size += int64(len(rec.Value))
	}
	return records, size, nil
}

// counting counts the records that producers are handed.
type counting struct {
	load.Cluster
	handed atomic.Int64
}

func (c *counting) Producer(o load.ProducerOptions) (load.Producer, error) {
	p, err := c.Cluster.Producer(o)
	if err != nil {
		return nil, err
	}
	return &countingProducer{Producer: p, all: &c.handed}, nil
}

type countingProducer struct {
	load.Producer
	handed atomic.Int64 // its own, so that producers do not share a cache line for each record
	all    *atomic.Int64
}

func (c *countingProducer) Produce(ctx context.Context, r *client.Record, promise func(*client.Record, error)) {
	c.handed.Add(1)
	c.Producer.Produce(ctx, r, promise)
}

func (c *countingProducer) Close() error {
	c.all.Add(c.handed.Swap(0))
	return c.Producer.Close()
}
