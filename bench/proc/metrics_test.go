package proc

import (
	"strings"
	"testing"
)

const scraped = `# HELP runnel_raftlog_commits_total Durable segment transactions.
# TYPE runnel_raftlog_commits_total counter
runnel_raftlog_commits_total 1.2e+03
runnel_raftlog_commits_totally_other 9
runnel_raftlog_append_entries_total 4800
runnel_raftlog_meta_commits_total 7 1700000000000
runnel_partition_produced_records_total{topic="a b} 5"} 100000
runnel_partition_produced_records_total{topic="c"} 20000
`

func TestWorkIsReadFromTheTextFormat(t *testing.T) {
	w, err := parseWork(strings.NewReader(scraped))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Work{Records: 120_000, Commits: 1200, Entries: 4800, MetaCommits: 7}); w != want {
		t.Fatalf("got %+v, want %+v", w, want)
	}
}

func TestAMissingCounterIsAnError(t *testing.T) {
	for name := range counted {
		text := strings.ReplaceAll(scraped, name, "other")
		if _, err := parseWork(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	if _, err := parseWork(strings.NewReader("runnel_raftlog_commits_total many\n")); err == nil {
		t.Error("a value that is no number was read")
	}
}

func TestWorkPerCommit(t *testing.T) {
	before := Work{Records: 1000, Commits: 100, Entries: 100, MetaCommits: 10}
	w := Work{Records: 61_000, Commits: 1000, Entries: 4000, MetaCommits: 11}.Since(before)
	if want := (Work{Records: 60_000, Commits: 900, Entries: 3900, MetaCommits: 1}); w != want {
		t.Fatalf("got %+v, want %+v", w, want)
	}
	// Three replicas committed each record: 300 transactions of each of them for 60,000 records.
	if got := w.RecordsPerCommit(3); got != 200 {
		t.Errorf("%v records a commit, want 200", got)
	}
	if got := w.CommitsPerSecond(30_000); got != 450 {
		t.Errorf("%v commits/s, want 450", got)
	}
	if (Work{}).RecordsPerCommit(3) != 0 || (Work{}).CommitsPerSecond(5) != 0 {
		t.Error("nothing done is not 0")
	}
}
