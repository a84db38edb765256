package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"github.com/runnel-io/runnel/partition/env/allocs"
)

// rereadRack reads bytes as an answer of the Kubernetes API about a node, and as a file that rackfile names. Each is refused in words, or gives a
// rack; the zone of an answer is written to a file from which a broker reads the same.
func rereadRack(t *testing.T, file string, text []byte) {
	file = filepath.Join(filepath.Dir(file), "rack")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if name, err := readRack(t, file); err == nil && name != strings.TrimSpace(string(text)) {
		t.Fatalf("%q was read as %q", text, name)
	}
	var zone string
	var err error
	allocs.Most(t, 1<<20+128*uint64(len(text)), func() { zone, err = labelIn(text, "node-1", zoneLabel) })
	if err != nil {
		if zone != "" || !strings.Contains(err.Error(), "node-1") {
			t.Fatalf("%q, refused with %v", zone, err)
		}
		return
	}
	if err := writeRack(file, zone); err != nil {
		t.Fatal(err)
	}
	if name, err := readRack(t, file); err != nil || name != zone {
		t.Fatalf("the zone %q is read by a broker as %q: %v", zone, name, err)
	}
}

func readRack(t *testing.T, file string) (string, error) {
	v := viper.New()
	v.Set("rackfile", file)
	name, err := rack(v)
	if err != nil && (name != "" || !strings.Contains(err.Error(), "rackfile")) {
		t.Fatalf("%q, refused with %v", name, err)
	}
	if strings.ContainsAny(name, "\r\n") || name != strings.TrimSpace(name) {
		t.Fatalf("the rack %q is no line", name)
	}
	return name, err
}
