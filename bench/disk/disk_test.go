package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAppendAndCommitLeaveFiguresAndNoFiles(t *testing.T) {
	dir := t.TempDir()
	a, err := Append(dir, 3, 4096, 20*time.Millisecond)
	if err != nil || a.MBPerSecond <= 0 || a.Syncs <= 0 || a.Took.P50 <= 0 || a.Took.P99 < a.Took.P50 || a.Took.Max < a.Took.P99 {
		t.Errorf("got %+v, %v", a, err)
	}
	c, err := Commit(dir, 2, 200, 20*time.Millisecond)
	if err != nil || c.PerSecond <= 0 || c.Took.P50 <= 0 || c.Took.P99 < c.Took.P50 {
		t.Errorf("got %+v, %v", c, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := Append(filepath.Join(dir, "none"), 1, 10, time.Millisecond); err == nil {
		t.Error("a folder that does not exist was written to")
	}
}

func TestEvictForgetsWhatWasCached(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "a", "b")
	const size = 1<<20 + 5
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		name string
		size int
	}{{"one", size}, {"empty", 0}} {
		if err := os.WriteFile(filepath.Join(sub, f.name), bytes.Repeat([]byte("x"), f.size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Look(dir)
	if err != nil || c.Bytes != size || c.Resident != size {
		t.Fatalf("just written: %+v, %v", c, err)
	}
	if c, err = Evict(dir); err != nil || c.Bytes != size {
		t.Fatalf("got %+v, %v", c, err)
	}
	if c.Resident == size {
		t.Skip("this file system keeps its files in memory")
	}
	if c.Resident != 0 {
		t.Fatalf("%d bytes are still cached", c.Resident)
	}
	if rate, err := Read(dir); err != nil || rate <= 0 {
		t.Errorf("read at %v MB/s, %v", rate, err)
	}
	if c, err = Look(dir); err != nil || c.Resident != size {
		t.Errorf("just read: %+v, %v", c, err)
	}
}
