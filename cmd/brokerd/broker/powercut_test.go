package broker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/raftlog/powercut"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// powerCut runs three brokers on disks that lose power, writes until n records are acknowledged, cuts all three at once
// amid further writes, and answers how many of the acknowledged records are gone when the brokers are started again on what
// the disks kept. -1: a broker did not even start.
func powerCut(t *testing.T, noSync bool, mode powercut.Mode, n int) (lost int) {
	t.Helper()
	var mu sync.Mutex
	recorders := map[int]*powercut.Recorder{}
	c := brokertest.Start(t, 3, brokertest.Edit(func(i int, cfg *broker.Config) {
		r := &powercut.Recorder{Root: cfg.DataDir, NoSync: noSync}
		mu.Lock()
		recorders[i] = r
		mu.Unlock()
		cfg.Hooks = raftlog.Hooks{
			NoSync: noSync, Opened: r.Opened, Commit: r.Commit,
			FS: func(op raftlog.FSOp) error { return r.FS(op.Kind, op.Path, op.To) },
		}
	}))
	cl, err := client.New(c.Seeds())
	if err != nil {
		t.Fatal(err)
	}
	create(t, cl, "orders", 3, 3)
	ctx, stop := context.WithCancel(patient(t))
	var acked atomic.Int64
	var ackedValues sync.Map
	enough := make(chan struct{})
	var once sync.Once
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				value := fmt.Sprintf("%d-%d", w, i)
				if cl.ProduceSync(ctx, &client.Record{Topic: "orders", Partition: int32(w), Value: []byte(value)}) != nil {
					return
				}
				ackedValues.Store(value, true)
				if acked.Add(1) == int64(n) {
					once.Do(func() { close(enough) })
				}
			}
		})
	}
	<-enough
	// Everything acknowledged so far was acknowledged before any of the cuts below.
	before := map[string]bool{}
	ackedValues.Range(func(k, _ any) bool { before[k.(string)] = true; return true })
	cut := map[int][]powercut.Event{}
	for i := 1; i <= 3; i++ {
		cut[i] = recorders[i].Events()
	}
	stop()
	writers.Wait()
	if err := cl.Close(); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 3; i++ {
		c.Crash(i)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := 1; i <= 3; i++ {
		disk := powercut.NewDisk()
		for _, e := range cut[i] {
			disk.Step(e)
		}
		dir := c.Config(i).DataDir
		if err := os.Rename(dir, filepath.Join(filepath.Dir(dir), fmt.Sprintf("before-the-cut-%d", i))); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := disk.Cut(mode, rnd, dir); err != nil {
			t.Fatal(err)
		}
		c.Edit(i, func(cfg *broker.Config) { cfg.Hooks = raftlog.Hooks{} })
		if noSync {
			if !c.TryRestart(i) {
				return -1
			}
			continue
		}
		c.Restart(i)
	}
	if noSync && !c.Formed() {
		return -1 // not even their identities survived
	}
	c.WaitReady()
	after := dial(t, c)
	if _, err := after.Metadata(patient(t), "orders"); noSync && runnelv1.AsError(err).GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC {
		return n // three empty disks founded a new cluster
	}
	got := readAll(t, after, "orders")
	for value := range before {
		switch got[value] {
		case 1:
		case 0:
			lost++
		default:
			t.Errorf("%s is there %d times", value, got[value])
		}
	}
	return lost
}

func TestAPowerCutOnAllBrokersLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	for _, mode := range []powercut.Mode{powercut.Nothing, powercut.Random} {
		if lost := powerCut(t, false, mode, 300); lost != 0 {
			t.Errorf("mode %v: %d acknowledged records are gone", mode, lost)
		}
	}
}

// The test above is worth something only if it notices brokers that do not sync.
func TestThePowerCutTestNoticesMissingSyncs(t *testing.T) {
	t.Parallel()
	if lost := powerCut(t, true, powercut.Nothing, 300); lost == 0 {
		t.Error("nothing is lost although nothing was synced")
	}
}
