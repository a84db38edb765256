package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// The old group never heard of a broker that joined after the recovery, and nobody has told its brokers of that yet.
func TestABrokerThatJoinedAfterARecoveryDoesNotObeyTheOldGroup(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	settled(t, c, 3, 3)
	for n := 1; n <= 3; n++ {
		c.Crash(n)
	}
	lost := lostOf(recoverController(t, c, 3))
	c.Restart(3)
	leads(t, c, 3)
	c.Add()
	c.WaitReady()
	c.Crash(3)
	c.Crash(4)
	c.Restart(1) // they meet nobody who knows
	c.Restart(2)
	works(t, c, "meanwhile", 2)
	c.Restart(4)
	c.Eventually(func() bool { // it asked the old leader then, too
		_, err := rawDial(t, c.Config(4).Listen).Metadata(patient(t), &runnelv1.MetadataRequest{})
		return err == nil || c.Broker(4).Failed() != nil
	}, func() string { return "it serves clients" })
	for range 3 {
		if fatal, err := c.Broker(4).AskedInVain(patient(t)); fatal || err == nil {
			t.Fatalf("the old group's answer ends the broker (%v) or counts: %v", fatal, err)
		}
	}
	if err := c.Broker(4).Failed(); err != nil {
		t.Fatalf("it ends by the old group's word: %v", err)
	}
	c.Restart(3)
	settled(t, c, 4, 3)
	for n := 1; n <= 2; n++ {
		if own, _, _ := ownLog(t, c, n); slices.Contains(lost, own) {
			t.Errorf("broker %d goes on with replica %d, which was given up", n, own)
		}
	}
	works(t, c, "later", 3)
}

// All start at the same time, and the kept one is not open yet when the others ask.
func TestLostControllerReplicasDoNotStartBesideTheKeptOneThatOpens(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	settled(t, c, 3, 3)
	for n := 1; n <= 3; n++ {
		c.Crash(n)
	}
	lost := lostOf(recoverController(t, c, 3))
	note := filepath.Join(c.Config(3).DataDir, "last-peer-address")
	address, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(note), syscall.Mkfifo(note, 0o600)); err != nil { // what the broker reads first, and waits for
		t.Fatal(err)
	}
	c.Restart(3)
	goOn := sync.OnceFunc(func() {
		if err := os.WriteFile(note, address, 0); err != nil {
			t.Error(err)
		}
	})
	defer goOn() // it would not stop before
	for n := 1; n <= 2; n++ {
		c.Restart(n)
		why := ""
		c.Eventually(func() bool {
			if err := c.Broker(n).Ready(); err != nil {
				why = err.Error()
			}
			return strings.Contains(why, "getting the controller's log") || c.Broker(n).Open()
		}, func() string { return why })
		if c.Broker(n).Open() {
			t.Errorf("broker %d runs what was given up", n)
		}
	}
	goOn()
	wantOneController(t, c, lost)
}

// The old group runs when the new leader hears of its brokers, long after it looked for some.
func TestTheNewLeaderTellsBrokersThatItHearsOfLater(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never, brokertest.Edit(func(_ int, cfg *broker.Config) { cfg.ControllerEvery = time.Hour }))
	settled(t, c, 3, 3)
	c.Crash(3)
	lost := lostOf(recoverController(t, c, 3))
	c.Edit(3, func(cfg *broker.Config) {
		cfg.GossipListen = strings.Replace(cfg.GossipListen, ":7072", ":7074", 1) // where no seed points
		cfg.Seeds = []string{cfg.GossipListen}
	})
	c.Restart(3)
	leads(t, c, 3)
	c.StopBroker(2)
	c.Edit(2, func(cfg *broker.Config) { cfg.Seeds = append(cfg.Seeds, c.Config(3).GossipListen) })
	c.Restart(2)
	wantOneController(t, c, lost)
}

// The one that was kept first is lost in turn. It comes back when nobody can be asked, and is no rival of the one that was kept then.
func TestTheKeptReplicaOfAnEarlierRecoveryGetsASuccessor(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	settled(t, c, 3, 3)
	crash := func() {
		for n := 1; n <= 3; n++ {
			c.Crash(n)
		}
	}
	crash()
	recoverController(t, c, 3)
	for _, n := range []int{3, 1, 2} {
		c.Restart(n)
	}
	settled(t, c, 3, 3)
	crash()
	lost := lostOf(recoverController(t, c, 1))
	told := make(chan string, 1)
	c.Edit(3, func(cfg *broker.Config) {
		cfg.Log = slog.New(errorsTo{cfg.Log.Handler(), told})
	})
	c.Restart(3)
	c.Eventually(c.Broker(3).Open, func() string { return "it runs" })
	c.Restart(1)
	leads(t, c, 1)
	c.Restart(2)
	settled(t, c, 3, 3)
	select {
	case why := <-told:
		t.Errorf("it says: %s", why)
	default:
	}
	if own, _, _ := ownLog(t, c, 3); slices.Contains(lost, own) {
		t.Errorf("it goes on with replica %d, which was given up", own)
	}
	works(t, c, "orders", 3)
}

// errorsTo keeps the first error that a broker logs.
type errorsTo struct {
	slog.Handler
	told chan string
}

func (e errorsTo) WithAttrs(a []slog.Attr) slog.Handler {
	return errorsTo{e.Handler.WithAttrs(a), e.told}
}

func (e errorsTo) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		select {
		case e.told <- r.Message:
		default:
		}
	}
	return e.Handler.Handle(ctx, r)
}
