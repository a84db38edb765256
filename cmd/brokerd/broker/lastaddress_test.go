package broker_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

// The note of a broker's last address is a hint: whatever happens to it, the broker starts and serves.
func TestABrokerStartsWithoutTheNoteOfItsAddress(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(note string) error{
		"it cannot be written": func(note string) error { return os.Mkdir(note+".tmp", 0o750) }, // in the way, as a full disk is
		"it cannot be read":    func(note string) error { return errors.Join(os.Remove(note), os.Mkdir(note, 0o750)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := brokertest.Start(t, 1)
			cl := dial(t, c)
			create(t, cl, "orders", 1, 1)
			produce(t, cl, "orders", 0, 10)
			c.StopBroker(1)
			if err := spoil(filepath.Join(c.Config(1).DataDir, "last-peer-address")); err != nil {
				t.Fatal(err)
			}
			at := brokertest.Lone(t)
			c.Edit(1, func(cfg *broker.Config) { cfg.PeerListen = at.PeerListen }) // so that there is something to write
			c.Restart(1)
			c.WaitReady()
			produce(t, cl, "orders", 10, 10)
			wantEach(t, readAll(t, cl, "orders"), 20)
		})
	}
}

// A start at the same address writes nothing: the disk may be full.
func TestTheNoteOfAnAddressIsWrittenOnlyWhenItChanged(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1)
	note := filepath.Join(c.Config(1).DataDir, "last-peer-address")
	old := time.Unix(1e9, 0)
	for _, moves := range []bool{false, true} {
		c.StopBroker(1)
		if err := os.Chtimes(note, old, old); err != nil {
			t.Fatal(err)
		}
		if moves {
			at := brokertest.Lone(t)
			c.Edit(1, func(cfg *broker.Config) { cfg.PeerListen = at.PeerListen })
		}
		c.Restart(1)
		c.WaitReady()
		st, err := os.Stat(note)
		if err != nil {
			t.Fatal(err)
		}
		if written := !st.ModTime().Equal(old); written != moves {
			t.Errorf("another address: %v; written: %v", moves, written)
		}
	}
	if text, err := os.ReadFile(note); err != nil || string(text) != c.Config(1).PeerListen+"\n" {
		t.Errorf("the note says %q, error %v", text, err)
	}
}
