package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

func TestASecretWrittenWhereAFileIsMeantIsNotTold(t *testing.T) {
	key := filepath.Join(t.TempDir(), "peer.key")
	if err := os.WriteFile(key, []byte("the key itself"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key, value string
		told       bool
	}{
		"a key's file":                 {"tls.peer.key", key, true},
		"no file, perhaps the key":     {"gossip.key.file", "cGVyaGFwcyBhIGtleSE=", false},
		"none":                         {"gossip.key.file", "", true},
		"a password":                   {"some.password", "hunter22", false},
		"key material anywhere":        {"rack", "-----BEGIN PRIVATE KEY-----", false},
		"a URL with a password":        {"seeds", "a:1,https://me:hunter22@host/", false},
		"what only sounds like one":    {"keyspace", "orders", true},
		"an address":                   {"listen", "127.0.0.1:7070", true},
		"a certificate is a file, too": {"tls.peer.cert", "/nowhere/peer.crt", true},
	} {
		if got := tellable(c.key, c.value); (got == c.value) != c.told {
			t.Errorf("%s: %s is told as %q, want told %v", name, c.key, got, c.told)
		}
	}
}

func TestToldSettingsHaveNoSecret(t *testing.T) {
	v := viper.New()
	for _, s := range settings {
		v.Set(s.key, s.value)
	}
	v.Set("rack", "-----BEGIN")
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	addFlags(fs)
	found := false
	for _, s := range told(v, fs) {
		found = found || s.Key == "rack" && s.Value == cutOut
	}
	if !found {
		t.Errorf("the rack is told: %+v", told(v, fs))
	}
}
