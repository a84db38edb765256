package broker_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// /healthz is for what a restart mends or at least ends: a failed meta.db, and not a failed replica, for which another one is made.
func TestHealthzIsForWhatARestartMends(t *testing.T) {
	t.Parallel()
	var broken atomic.Pointer[string] // files with this in their path cannot be synced
	cfg := brokertest.Lone(t)
	cfg.Hooks.Commit = func(path string, commit func() error) error {
		if part := broken.Load(); part != nil && strings.Contains(path, *part) {
			return errors.New("input/output error")
		}
		return commit()
	}
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Abort() }() // its disk is broken: it cannot stop cleanly
	brokertest.Eventually(t, func() bool { return b.Ready() == nil }, func() string { return b.Ready().Error() })
	cl, err := client.New([]string{cfg.Listen})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cl.Close() }()
	create(t, cl, "orders", 1, 1)
	produce(t, cl, "orders", 0, 1)
	status := func(path string) (int, string) { return ask(t, "http://"+cfg.HTTPListen+path) }

	folder := replicaFolder(t, cfg)
	broken.Store(&folder)
	cl.Produce(patient(t), &client.Record{Topic: "orders", Value: []byte("lost")}, nil)
	brokertest.Eventually(t, func() bool {
		_, text := status("/metrics")
		return strings.Contains(text, "\nrunnel_raft_quarantined 1\n")
	},
		func() string { return "the replica does not fail" })
	if code, text := status("/healthz"); code != http.StatusOK {
		t.Errorf("a quarantined replica would have the broker restarted: %d %s", code, text)
	}

	meta := "meta.db"
	broken.Store(&meta)
	ctx, cancel := context.WithCancel(patient(t))
	created := make(chan struct{})
	go func() {
		defer close(created)
		// Its record in the controller's log is written, its replica is what cannot be made: there is no answer while it is tried.
		_, _ = cl.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{Name: "more", Partitions: 1, ReplicationFactor: 1})
	}()
	defer func() { cancel(); <-created }()
	brokertest.Eventually(t, func() bool {
		code, text := status("/healthz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "meta.db")
	},
		func() string { return "/healthz does not tell that meta.db failed" })
}

// replicaFolder is that of the broker's one replica beside the controller's.
func replicaFolder(t *testing.T, cfg broker.Config) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(cfg.DataDir, "replicas", "*"))
	if err != nil || len(all) != 2 {
		t.Fatalf("%v %v", all, err)
	}
	return all[1]
}

// What hangs must show, so a scrape waits for nothing that waits for the disk.
func TestAScrapeAnswersWhileTheDiskHangs(t *testing.T) {
	t.Parallel()
	var hangs atomic.Bool
	release := make(chan struct{})
	cfg := brokertest.Lone(t)
	cfg.Hooks.Commit = func(path string, commit func() error) error {
		if hangs.Load() && !strings.HasSuffix(path, "meta.db") {
			<-release
		}
		return commit()
	}
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	}()
	brokertest.Eventually(t, func() bool { return b.Ready() == nil }, func() string { return b.Ready().Error() })
	cl, err := client.New([]string{cfg.Listen})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cl.Close() }()
	create(t, cl, "orders", 1, 1)
	hangs.Store(true)
	answered := make(chan error, 1)
	cl.Produce(patient(t), &client.Record{Topic: "orders", Value: []byte("late")}, func(_ *client.Record, err error) { answered <- err })
	brokertest.Eventually(t, func() bool {
		_, text := ask(t, "http://"+cfg.HTTPListen+"/metrics")
		return strings.Contains(text, "\nrunnel_raft_stalled_groups 1\n")
	},
		func() string { return "no replica shows as stalled" })
	if code, text := ask(t, "http://"+cfg.HTTPListen+"/healthz"); code != http.StatusOK {
		t.Errorf("a disk that hangs is not mended by a restart: %d %s", code, text)
	}
	hangs.Store(false)
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
