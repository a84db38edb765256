package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/bench/workload"
)

func TestAFlipChangesOneBitOfARecord(t *testing.T) {
	dir := t.TempDir()
	replica := filepath.Join(dir, "replicas", "1-1")
	if err := os.MkdirAll(replica, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := flip(dir, 1); !errors.Is(err, errUnfit) {
		t.Fatalf("without a segment: %v", err)
	}
	before := append(make([]byte, 5000), workload.Payload("1:2:3")...)
	before = append(before, make([]byte, 100)...)
	file := filepath.Join(replica, "00000000000000000001.seg")
	for variant := range uint64(200) {
		if err := os.WriteFile(file, before, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := flip(dir, variant<<40|variant<<20|variant)
		if err != nil || f.file != file {
			t.Fatalf("in %s: %v", f.file, err)
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
		if !strings.HasSuffix(f.notice(), " group=1 replica=1 ") {
			t.Fatalf("noticed by %q", f.notice())
		}
		if err := f.undo(); err != nil {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, before) {
			t.Fatalf("variant %d is not undone: %v", variant, err)
		}
		if err := f.undo(); err != nil { // something else is there now
			t.Fatal(err)
		}
		if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, before) {
			t.Fatalf("variant %d damaged what was written since: %v", variant, err)
		}
	}
}
