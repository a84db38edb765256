package raftlog

import (
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// A consumer reads while the commit of a truncation is under way. Where it stopped is behind an entry without records that gives way to a batch,
// which the next one must not miss.
func TestAReadDuringATruncationHidesNothingThatTakesThePlace(t *testing.T) {
	var during func()
	s := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Commit = func(path string, commit func() error) error {
			if f := during; f != nil && filepath.Ext(path) == segSuffix {
				during = nil
				f()
			}
			return commit()
		}
	})
	l := openLog(t, s, LogOptions{})
	empty := entry(4, 2, nil) // of a leader of term 2; not committed
	appendAll(t, l, Write{Term: 2, Vote: 1, Commit: 3, Entries: append(batches(t, 2, 1, 0, 2, 100), []*raftpb.Entry{empty}...)})
	l.SetApplied(3)
	during = func() {
		if got := readAll(t, l, 0, 2, 1<<20); !slices.Equal(got, []int64{0, 1}) {
			t.Errorf("read %v", got)
		}
	}
	appendAll(t, l, Write{Term: 3, Vote: 2, Commit: 6, Entries: batches(t, 4, 3, 2, 3, 100)})
	if during != nil {
		t.Fatal("nothing was read during the commit")
	}
	l.SetApplied(6)
	forget(l)
	if got := readAll(t, l, 2, 5, 1<<20); !slices.Equal(got, []int64{2, 3, 4}) {
		t.Errorf("of the offsets 2, 3 and 4 a reader at 2 gets %v", got)
	}
}
