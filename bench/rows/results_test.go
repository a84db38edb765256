package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/bench/proc"
)

func TestTheTableShowsCommitsWhereARowWrites(t *testing.T) {
	picked, err := pick([]string{"200b-1", "consume-200b"})
	if err != nil {
		t.Fatal(err)
	}
	var all []measured
	for i, r := range picked {
		m := measured{Row: r.id, Limit: []float64{100, 300}}
		for _, rate := range []float64{300_000, 100_000, 200_000} {
			res := result{RecordsPerSecond: rate, MBPerSecond: rate / 5000}
			if i == 0 {
				res.count(proc.Work{Records: 1_000_000, Commits: 12_000, Entries: 24_000})
			}
			m.Runs = append(m.Runs, res)
		}
		all = append(all, m)
	}
	text := render(picked, all)
	// 12,000 commits for three times a million records; 12,000 a second for a million a second.
	for _, want := range []string{"200,000/s", "100,000/s", "300,000/s", "20% of 200 MB/s", " 2,400 ", " 250 ", "COMMITS/S OF ALL BROKERS", "A commit is"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := render(picked[1:], all[1:]); strings.Contains(text, "A commit is") || strings.Contains(text, " 0 ") {
		t.Errorf("commits of a row that reads:\n%s", text)
	}
	if line := progress(picked[0], all[0]); !strings.Contains(line, "2,400 commits/s") || !strings.Contains(line, "250 records a commit") {
		t.Error(line)
	}
}

func TestFewRecordsACommitKeepTheirDecimals(t *testing.T) {
	r := result{RecordsPerSecond: 600}
	r.count(proc.Work{Records: 3000, Commits: 9100})
	if got := perCommit(r); got != "0.99" {
		t.Errorf("got %s", got)
	}
	if commits(r) != "1,820" {
		t.Errorf("got %s", commits(r))
	}
}

func TestSaveKeepsTheCommits(t *testing.T) {
	dir := t.TempDir()
	r := result{RecordsPerSecond: 10}
	r.count(proc.Work{Records: 100, Commits: 50, Entries: 60, MetaCommits: 1})
	if err := save(t.Context(), options{results: dir}, []measured{{Row: "200b-1", Runs: []result{r}}}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "rows.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Rows []measured }
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	run := got.Rows[0].Runs[0]
	if run.RecordsPerCommit != 6 || run.CommitsPerSecond != 5 || *run.Work != *r.Work {
		t.Errorf("got %+v", run)
	}
}

func TestPickNamesTheRowsThereAre(t *testing.T) {
	if _, err := pick([]string{"none"}); err == nil || !strings.Contains(err.Error(), "consume-cold") {
		t.Error(err)
	}
	all, err := pick(nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range all {
		if seen[r.id] || r.want == nil || r.special == nil && len(r.args) == 0 {
			t.Errorf("row %+v", r)
		}
		seen[r.id] = true
	}
}
