package main

import (
	"strings"
	"testing"
)

func TestCommitsOfARow(t *testing.T) {
	m := measurement{RecordsPerSecond: 600_000, Acked: 5, ReadBack: 5}
	if commits(m) != "" || strings.Contains(oneLine(mustPick(t, "200b-1")[0], m), "commits") {
		t.Error("commits of a system that does not tell them")
	}
	m.count(1000, 1_000_000, 3)
	if m.RecordsPerCommit != 3000 || m.CommitsPerSecond != 600 {
		t.Errorf("got %+v", m)
	}
	if line := oneLine(mustPick(t, "200b-1")[0], m); !strings.HasSuffix(line, "5 acknowledged and read back, 600 commits/s, 3,000 records each") {
		t.Error(line)
	}
	c := newColumn("runnel", true)
	c.cells["200b-1"] = cell{"x": {m}}
	if out := render(mustPick(t, "200b-1"), []*column{c}); !strings.Contains(out, "600 commits/s, 3,000 records each") {
		t.Error(out)
	}
	m = measurement{RecordsPerSecond: 900}
	m.count(0, 0, 3)
	if commits(m) != "" {
		t.Error("figures of nothing")
	}
}
