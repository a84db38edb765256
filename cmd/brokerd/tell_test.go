package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
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
		"a password":                   {"some.password", "hunter22", false},
		"key material anywhere":        {"rack", "-----BEGIN PRIVATE KEY-----", false},
		"a URL with a password":        {"rack", "https://me:hunter22@host/", false},
		"what only sounds like one":    {"keyspace", "orders", true},
		"an address":                   {"listen", "127.0.0.1:7070", true},
		"a list with a secret in it":   {"seeds", "https://me:hunter22@host/", false},
		"a rack":                       {"rack", "b", true},
		"a certificate is a file, too": {"tls.peer.cert", "/nowhere/peer.crt", true},
	} {
		value := &yaml.Node{Kind: yaml.ScalarNode, Value: c.value}
		outer := value
		if c.key == "seeds" {
			outer = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{value}}
		}
		cut(c.key, outer)
		if told := value.Value == c.value; told != c.told {
			t.Errorf("%s: %s is %q afterwards, told is %v", name, c.key, value.Value, c.told)
		}
	}
}

func TestTheToldSettingsHaveEveryKey(t *testing.T) {
	v := viper.New()
	for _, s := range settings {
		v.Set(s.key, s.value)
	}
	v.Set("rack", "-----BEGIN")
	text, err := tellable(v)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if _, there := got[s.key]; !there {
			t.Errorf("%s is missing", s.key)
		}
	}
	if got["rack"] != cutOut || strings.Contains(text, "BEGIN") {
		t.Errorf("the rack is told: %v", got["rack"])
	}
}
