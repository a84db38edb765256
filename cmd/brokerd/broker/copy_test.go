package broker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

// endsWith runs a broker that must give up by itself and say why.
func endsWith(t *testing.T, cfg broker.Config, want string) {
	t.Helper()
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	err := broker.Run(ctx, cfg)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("it ended with %v, which lacks %q", err, want)
	}
}

func TestACopyOfADataFolderDoesNotRunBesideTheOriginal(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 3, 3)
	produce(t, cl, "orders", 0, 50)
	copied := c.Config(2)
	copied.DataDir = filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied.DataDir, os.DirFS(c.Config(2).DataDir)); err != nil {
		t.Fatal(err)
	}
	at := brokertest.Lone(t)
	copied.Listen, copied.PeerListen, copied.GossipListen, copied.HTTPListen = at.Listen, at.PeerListen, at.GossipListen, at.HTTPListen
	endsWith(t, copied, "is a copy of its data folder")
	produce(t, cl, "orders", 50, 50)
	wantEach(t, readAll(t, cl, "orders"), 100)
}

func TestADataFolderThatMovedToAnotherAddressGoesOn(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 3, 3)
	c.StopBroker(2)
	at := brokertest.Lone(t)
	c.Edit(2, func(cfg *broker.Config) {
		cfg.Listen, cfg.PeerListen, cfg.GossipListen, cfg.HTTPListen = at.Listen, at.PeerListen, at.GossipListen, at.HTTPListen
	})
	c.Restart(2)
	c.WaitReady()
	c.Crash(1)
	produce(t, cl, "orders", 0, 50) // needs the one that moved
	wantEach(t, readAll(t, cl, "orders"), 50)
}

func TestADiskThatLostItsMetaFoundsNoClusterOverTheData(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1)
	create(t, dial(t, c), "orders", 1, 1)
	c.StopBroker(1)
	cfg := c.Config(1)
	if err := os.Remove(filepath.Join(cfg.DataDir, "meta.db")); err != nil {
		t.Fatal(err)
	}
	endsWith(t, cfg, "meta.db, which says whose they are, is lost")
}
