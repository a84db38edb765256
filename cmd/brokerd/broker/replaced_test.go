package broker_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// onWords is a log that does something when it is told these words.
type onWords struct {
	words string
	do    func()
}

func (h onWords) Enabled(context.Context, slog.Level) bool { return true }
func (h onWords) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h onWords) WithGroup(string) slog.Handler            { return h }

func (h onWords) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.words) {
		h.do()
	}
	return nil
}

func TestABrokerThatStartsBetweenACertificateAndItsKey(t *testing.T) {
	t.Parallel()
	used, fresh := filepath.Join(t.TempDir(), "used"), filepath.Join(t.TempDir(), "fresh")
	for _, dir := range []string{used, fresh} {
		if err := dev.Write(dir, []string{"localhost"}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name string) {
		text, err := os.ReadFile(filepath.Join(fresh, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(used, name), text, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
	cfg := brokertest.Lone(t)
	cfg.TLS = broker.TLS{
		ClientCert: filepath.Join(used, dev.BrokerCert), ClientKey: filepath.Join(used, dev.BrokerKey), ClientCA: filepath.Join(used, dev.CACert),
	}
	told := 0
	cfg.Log = slog.New(onWords{"read again", func() { told++; put(dev.BrokerKey) }})
	put(dev.BrokerCert)
	b, err := broker.Start(cfg)
	if err != nil {
		t.Fatalf("after it was told %d times: %v", told, err)
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	if told != 1 {
		t.Errorf("it was told %d times", told)
	}
}
