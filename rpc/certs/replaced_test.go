package certs_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/rpc/certs"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// onWarning is a handler that does something at a warning, before it is told.
type onWarning struct {
	slog.Handler
	do func()
}

func (h onWarning) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		h.do()
	}
	return h.Handler.Handle(ctx, r)
}

func TestAStartWhileFilesAreReplacedTakesWhatIsNew(t *testing.T) {
	f := newFixture(t)
	ca, next := f.ca("peers"), f.ca("next")
	old, fresh := f.sign(ca, dev.PeerLeaf(nil)), f.sign(ca, dev.PeerLeaf(nil))
	files := f.files(dev.Pair{Cert: fresh.Cert, Key: old.Key}, ca)
	keys := filepath.Join(f.dir, "k")
	plain := f.o.Log.Handler()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, x := range []struct {
		name   string
		before func()
		after  func()
		open   func() error
	}{
		{"a certificate before its key", func() {}, func() { f.write("a.key", fresh.Key) }, func() error {
			_, err := certs.OpenPeer(ctx, files, f.o)
			return err
		}},
		{"a certificate before its CA", func() { f.files(f.sign(next, dev.PeerLeaf(nil)), ca) }, func() { f.write("a.ca", next.CertPEM) }, func() error {
			_, err := certs.OpenPeer(ctx, files, f.o)
			return err
		}},
		{"a key before its certificate", func() { f.write("a.key", old.Key) }, func() { f.write("a.crt", old.Cert) }, func() error {
			_, err := certs.OpenClient(ctx, files, true, f.o)
			return err
		}},
		{"gossip's keys that are not there yet", func() {}, func() { f.write("k", []byte(line(1, 32))) }, func() error {
			_, err := certs.OpenKeys(ctx, keys, nil, f.o)
			return err
		}},
	} {
		warned := 0
		f.o.Log = slog.New(onWarning{plain, func() { warned++; x.after() }})
		x.before()
		if err := x.open(); err != nil || warned != 1 {
			t.Errorf("%s: told %d times, %v", x.name, warned, err)
		}
	}
}

func TestFilesThatStayBadEndAStart(t *testing.T) {
	f := newFixture(t)
	ca := f.ca("peers")
	files := f.files(dev.Pair{Cert: f.sign(ca, dev.PeerLeaf(nil)).Cert, Key: f.sign(ca, dev.PeerLeaf(nil)).Key}, ca)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := certs.OpenPeer(ctx, files, f.o); err == nil || !strings.Contains(err.Error(), "no pair") {
		t.Errorf("got %v, want what is wrong with the files", err)
	}
	if n := strings.Count(f.log.String(), "cannot be used"); n != 1 {
		t.Errorf("it was told %d times", n)
	}
}
