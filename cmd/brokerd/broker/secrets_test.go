package broker_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// written is a log that is kept.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// spellings are the ways in which a secret could show: as in its file, as bytes in hex or base64, and as Go prints bytes.
func spellings(t *testing.T, dir string) map[string][]string {
	out := map[string][]string{}
	for _, name := range dev.Files() {
		if !strings.HasSuffix(name, ".key") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "-----") {
				continue
			}
			out[name] = append(out[name], line, line[:24])
			if raw, err := base64.StdEncoding.DecodeString(line); err == nil && len(raw) > 8 {
				printed := strings.Trim(fmt.Sprint(raw[:8]), "[]")
				out[name] = append(out[name], hex.EncodeToString(raw[:8]), printed, string(raw[:8]), base64.RawURLEncoding.EncodeToString(raw)[:20])
			}
		}
	}
	return out
}

func TestNoSecretIsLoggedOrTold(t *testing.T) {
	t.Parallel()
	var log written
	c := brokertest.Start(t, 2, brokertest.TLS(), brokertest.Edit(func(_ int, cfg *broker.Config) {
		cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}))
	secrets := spellings(t, c.Certs())
	if len(secrets) != 6 {
		t.Fatalf("%d files of keys", len(secrets))
	}
	create(t, secureClient(t, c), "orders", 1, 2)
	// Keys that are there, in the wrong places and spoilt: whoever says what is wrong with a file may be tempted to quote it.
	gossip, err := os.ReadFile(filepath.Join(c.Certs(), dev.GossipKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	peer, err := os.ReadFile(filepath.Join(c.Certs(), dev.PeerKey))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		dev.GossipKeyFile: append([]byte("x"), gossip...), dev.BrokerCert: peer, dev.PeerKey: append(bytes.Clone(peer[:len(peer)-40]), gossip...), dev.CACert: gossip,
	} {
		if err := os.WriteFile(filepath.Join(c.Certs(), name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, use := range []string{"client", "peer", "gossip"} {
		c.Eventually(func() bool { return metric(t, c, 1, "runnel_tls_reloads_total", `result="failed",use="`+use+`"`) > 0 },
			func() string { return use + ": the spoilt files were not noticed" })
	}
	told := log.String()
	cfg := brokertest.Lone(t)
	cfg.TLS = c.Config(1).TLS
	if _, err := broker.Start(cfg); err == nil {
		t.Error("it starts with spoilt files")
	} else {
		told += err.Error()
	}
	if !strings.Contains(told, "line 1") || !strings.Contains(told, "no pair") {
		t.Errorf("what is wrong is not said: %s", told)
	}
	for name, ways := range secrets {
		for _, w := range ways {
			if strings.Contains(told, w) {
				t.Errorf("%s is told: %q", name, w)
			}
		}
	}
}
