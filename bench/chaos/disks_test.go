package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/runnel-io/runnel/bench/workload"
)

func TestAFlipChangesOneBitOfARecord(t *testing.T) {
	dir := t.TempDir()
	replica := filepath.Join(dir, "replicas", "1-1")
	if err := os.MkdirAll(replica, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := flip(dir, 1); !errors.Is(err, errUnfit) {
		t.Fatalf("without a segment: %v", err)
	}
	before := append(make([]byte, 5000), workload.Payload("1:2:3")...)
	before = append(before, make([]byte, 100)...)
	file := filepath.Join(replica, "00000000000000000001.seg")
	for variant := range uint64(200) {
		if err := os.WriteFile(file, before, 0o644); err != nil {
			t.Fatal(err)
		}
		if at, _, err := flip(dir, variant<<40|variant<<20|variant); err != nil || at != file {
			t.Fatalf("in %s: %v", at, err)
		}
		after, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(after, before) {
			t.Fatalf("variant %d changed nothing", variant)
		}
		if got := workload.Value(after[5000 : len(after)-100]); got == "1:2:3" {
			t.Fatalf("variant %d did not hit the record", variant)
		}
	}
}
