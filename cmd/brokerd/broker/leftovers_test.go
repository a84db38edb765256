package broker_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

// loseMeta damages the meta.db of a broker that does not run.
func loseMeta(t *testing.T, c *brokertest.Cluster, n int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.Config(n).DataDir, "meta.db"), bytes.Repeat([]byte{0xff}, 32<<10), 0o640); err != nil {
		t.Fatal(err)
	}
}

// segmentsOf reads all segments below a data folder, by the names of their folder and file.
func segmentsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, "replicas"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".seg" {
			return err
		}
		text, err := os.ReadFile(path)
		out[filepath.Join(filepath.Base(filepath.Dir(path)), d.Name())] = string(text)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

// keepsAll checks that a data folder has every byte of the segments, wherever.
func keepsAll(t *testing.T, dir string, segments map[string]string) {
	t.Helper()
	if len(segments) == 0 {
		t.Fatal("there is nothing to keep")
	}
	kept := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".seg" {
			return err
		}
		text, err := os.ReadFile(path)
		kept[string(text)] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range segments {
		if !kept[text] {
			t.Errorf("%s is gone", name)
		}
	}
}

// Disks 1 and 3 are new, and disk 2 has the last replicas of everything, but its meta.db is lost. Nobody founds a cluster.
func TestRule28ASeedThatLostItsMetaIsNotEmpty(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 1, 3)
	produce(t, cl, "orders", 0, 100)
	for n := 1; n <= 3; n++ {
		c.StopBroker(n)
	}
	c.Wipe(1)
	c.Wipe(3)
	dir := c.Config(2).DataDir
	segments := segmentsOf(t, dir)
	loseMeta(t, c, 2)
	for n := 1; n <= 3; n++ {
		c.Restart(n)
	}
	for n, says := range map[int]string{1: "hold data but name no cluster", 2: "may only join"} {
		why := ""
		c.Eventually(func() bool {
			if err := c.Broker(n).Ready(); err != nil {
				why = err.Error()
			}
			return c.Broker(n).ID() != 0 || strings.Contains(why, says)
		}, func() string { return why })
		if id := c.Broker(n).ID(); id != 0 {
			t.Fatalf("the broker on disk %d is broker %d of a second cluster", n, id)
		}
	}
	keepsAll(t, dir, segments)
}

// A broker that lost its meta.db comes back into its cluster as a new one. The replicas of its former life are kept, and are in nobody's way:
// not even in a cluster that gives its ids once more.
func TestABrokerThatLostItsMetaJoinsAsANewOneAndKeepsItsData(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 3, 3)
	produce(t, cl, "orders", 0, 100)
	settled(t, c, 3, 3)
	lost := c.ByID(3) // as which the last one joins again below
	dir := c.Config(lost).DataDir
	var segments map[string]string
	for life := range 2 {
		id := c.Broker(lost).ID()
		c.StopBroker(lost)
		segments = segmentsOf(t, dir)
		loseMeta(t, c, lost)
		c.Restart(lost)
		c.WaitReady()
		if now := c.Broker(lost).ID(); now <= id {
			t.Fatalf("broker %d came back as broker %d", id, now)
		}
		keepsAll(t, dir, segments)
		produce(t, cl, "orders", 100+life, 1)
	}
	for n := 1; n <= 3; n++ {
		c.StopBroker(n)
	}
	segments = segmentsOf(t, dir)
	loseMeta(t, c, lost)
	founders := []int{1, 5 - lost}
	for _, n := range founders {
		c.Wipe(n)
		c.Edit(n, func(cfg *broker.Config) {
			cfg.Seeds = nil
			for _, f := range founders {
				cfg.Seeds = append(cfg.Seeds, c.Config(f).GossipListen)
			}
		})
	}
	for _, n := range founders {
		c.Restart(n)
	}
	c.WaitReady()
	c.Restart(lost)
	c.WaitReady()
	if id := c.Broker(lost).ID(); id != 3 {
		t.Fatalf("it is broker %d of the new cluster", id)
	}
	other := dial(t, c)
	create(t, other, "orders", 3, 3)
	produce(t, other, "orders", 0, 100)
	wantEach(t, readAll(t, other, "orders"), 100)
	keepsAll(t, dir, segments)
}
