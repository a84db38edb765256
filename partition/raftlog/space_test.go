package raftlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"
	"golang.org/x/sys/unix"
)

// fullDisk gives no block to files whose path contains part, but for those of meta.db.
type fullDisk struct {
	full bool
	part string
}

func (d *fullDisk) hooks(o *Options) {
	o.Hooks.Room = func(path string, _ int64) error {
		if d.full && filepath.Base(path) != "meta.db" && strings.Contains(path, d.part) {
			return syscall.ENOSPC
		}
		return nil
	}
}

// What finds no space is not begun: the log goes on as it was, and the same call made again does what is left of it.
func TestAnAppendWithoutSpaceMayBeMadeAgain(t *testing.T) {
	for _, tc := range []struct {
		name, part string
		index      func(l *Log) uint64 // of the first entry to write
		n, size    int
		segment    int64
		wrote      int // entries that are there before there is space
	}{
		{"in the file", "", func(l *Log) uint64 { return l.last + 1 }, 5, 80_000, 1 << 20, 0},
		{"a new file", tmpSuffix, func(l *Log) uint64 { return l.last + 1 }, 1, 70_000, 64 << 10, 0},
		{"half of it", tmpSuffix, func(l *Log) uint64 { return l.last + 1 }, 3, 30_000, 64 << 10, 2},
		{"over uncommitted entries", "", func(*Log) uint64 { return 3 }, 3, 80_000, 1 << 20, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			d := &fullDisk{part: tc.part}
			s := openStore(t, dir, d.hooks)
			l := openLog(t, s, LogOptions{SegmentBytes: tc.segment})
			appendAll(t, l, Write{Term: 1, Vote: 1, Entries: batches(t, 2, 1, 0, 3, 500)})
			at := tc.index(l)
			ents := batches(t, at, 3, int64(at)-2, tc.n, tc.size)
			ws := []Write{{Term: 2, Vote: 1}, {Term: 3}, {Term: 3, Vote: 2, Commit: at + 9, Entries: ents[:tc.n-1]}, {Commit: at + 9, Entries: ents[tc.n-1:]}}
			d.full = true
			for range 3 {
				var p *PoisonedError
				if err := l.Append(ws); !OutOfSpace(err) || errors.As(err, &p) || !errors.Is(err, syscall.ENOSPC) || Lasting(err) {
					t.Fatalf("answers %v", err)
				}
				must(t, l.failed())
				must(t, l.Maintain())
				checkEntries(t, l, ents[:tc.wrote])
			}
			if files, err := filepath.Glob(filepath.Join(l.dir, "*"+tmpSuffix)); err != nil || len(files) > 0 {
				t.Errorf("a file that found no space is left: %v, %v", files, err)
			}
			d.full = false
			must(t, l.Append(ws))
			checkEntries(t, l, ents)
			more := batches(t, l.last+1, 3, l.next, 2, 100)
			appendAll(t, l, Write{Entries: more})
			crash(t, s)
			l = openLog(t, openStore(t, dir), LogOptions{SegmentBytes: tc.segment})
			checkEntries(t, l, append(ents, more...))
			if hs, _, _ := l.InitialState(); hs.GetTerm() != 3 || hs.GetVote() != 2 || hs.GetCommit() != min(at+9, l.last) {
				t.Errorf("state %v", hs)
			}
		})
	}
}

// Where no byte is left, leaders are elected all the same, and say what they have to say: also in a segment that is full or old, and in place of
// what was not committed. A record is not to use that up.
func TestOnAFullDiskWhatIsNoRecordIsWritten(t *testing.T) {
	d := &fullDisk{}
	s := openStore(t, t.TempDir(), d.hooks)
	l := openLog(t, s, LogOptions{SegmentBytes: 64 << 10})
	appendAll(t, l, Write{Term: 1, Vote: 1, Entries: batches(t, 2, 1, 0, 7, 8000)})
	d.full = true
	began, records := fileSize(t, l), 0
	for term := uint64(2); term < 100; term++ {
		switch err := l.Append([]Write{{Entries: batches(t, l.last+1, term-1, l.next, 1, 100)}}); {
		case err == nil:
			records++
		case !OutOfSpace(err):
			t.Fatal(err)
		}
		ents := []*raftpb.Entry{entry(l.last+1, term, nil), entry(l.last+2, term, commandData(strings.Repeat("x", 100), startMS))}
		if term%10 == 0 { // what the last leader wrote is not committed
			ents = []*raftpb.Entry{entry(l.last, term, nil)}
		}
		if term%7 == 0 { // it can wait
			l.OfferCheckpoint(Checkpoint{Index: 2, Term: 1, Conf: founders(), State: make([]byte, 100_000)})
		}
		if err := l.Append([]Write{{Term: term, Vote: 1, Entries: ents}}); err != nil {
			t.Fatalf("term %d, the file has %d bytes more than at the beginning: %v", term, fileSize(t, l)-began, err)
		}
	}
	t.Logf("%d records found space; the file has %d bytes more", records, fileSize(t, l)-began)
	if len(l.segs) != 1 || records > 20 {
		t.Errorf("%d segments, %d records found space", len(l.segs), records)
	}
	d.full = false
	appendAll(t, l, Write{Entries: batches(t, l.last+1, 200, l.next, 3, 8000)})
	if len(l.segs) == 1 {
		t.Error("with space the segment is still not full")
	}
}

// fileSize is how much of its newest file a log uses.
func fileSize(t *testing.T, l *Log) (n int64) {
	t.Helper()
	must(t, l.segs[len(l.segs)-1].file.view(func(tx *bolt.Tx) error { n = tx.Size(); return nil }))
	return n
}

// Blocks are taken for all that a transaction writes, whatever it is: else the disk might run full in its midst.
func TestNoTransactionWritesBeyondItsBlocks(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.Hooks.NoSync = true }, (&fullDisk{}).hooks)
	l := openLog(t, s, LogOptions{SegmentBytes: 1 << 20})
	r := rand.New(rand.NewPCG(1, 2))
	most := int64(0)
	for n := range 1500 {
		at := l.last + 1
		if r.IntN(15) == 0 {
			at -= uint64(r.Int64N(int64(min(500, l.last-1))))
		}
		var ents []*raftpb.Entry
		for i := range uint64(1 + r.IntN(1<<r.IntN(10))) {
			size := r.IntN(200)
			if r.IntN(8) == 0 {
				size = r.IntN(20_000)
			}
			ents = append(ents, entry(at+i, uint64(n+1), commandData(strings.Repeat("x", size), startMS)))
		}
		l.mu.Lock()
		l.commit = 0 // nothing of it is committed: all may be overwritten
		l.mu.Unlock()
		checkpoint := 0
		if r.IntN(20) == 0 {
			cp := Checkpoint{Index: l.ckpt.Index + 1, Term: 1, Conf: founders(), State: make([]byte, r.IntN(300_000))}
			raw, err := cp.encode()
			must(t, err)
			checkpoint = len(raw)
			l.OfferCheckpoint(cp)
		}
		before, need := l.segs[len(l.segs)-1].file, fileSize(t, l)
		need += need/freelistPart + roomFor(ents, checkpoint).bytes
		appendAll(t, l, Write{Term: uint64(n + 1), Vote: 1, Entries: ents})
		f := l.segs[len(l.segs)-1].file
		size := fileSize(t, l)
		if f == before && size > need {
			t.Fatalf("append %d: the file has %d bytes, %d were to be enough", n, size, need)
		}
		if size > f.held-spareBytes {
			t.Fatalf("append %d: the file has %d bytes, %d of them beyond what was to be had", n, size, size-(f.held-spareBytes))
		}
		most = max(most, size)
	}
	if most < 1<<20 || len(l.segs) < 2 {
		t.Errorf("files of %d bytes at most, %d segments", most, len(l.segs))
	}
}

// Values that fill a page by a little more than half are the worst.
func TestRoomIsEnoughForValuesThatShareNoPage(t *testing.T) {
	for _, size := range []int{0, 600, 1276, 1940, 1970, 1990, 4000, 4031, 4032, 5000} {
		s := openStore(t, t.TempDir(), func(o *Options) { o.Hooks.NoSync = true })
		l := openLog(t, s, LogOptions{SegmentBytes: 64 << 20})
		var ents []*raftpb.Entry
		for i := range uint64(2000) {
			ents = append(ents, entry(l.last+1+i, 2, commandData(strings.Repeat("x", size), startMS)))
		}
		before := fileSize(t, l)
		appendAll(t, l, Write{Term: 2, Vote: 1, Entries: ents})
		if need, used := before+roomFor(ents, 0).bytes, fileSize(t, l); used > need {
			t.Errorf("values of %d bytes: %d bytes are used, %d were asked for", size, used, need)
		}
	}
}

// trimmable is a log of several segments on a disk that is full, with a trim that is applied and waits for a checkpoint.
func trimmable(t *testing.T, d *fullDisk, edit ...func(*Options)) *Log {
	t.Helper()
	l := openLog(t, openStore(t, t.TempDir(), append(edit, d.hooks)...), LogOptions{SegmentBytes: 64 << 10})
	appendAll(t, l, Write{Term: 1, Vote: 1, Commit: 21, Entries: batches(t, 2, 1, 0, 20, 30000)})
	l.SetApplied(21)
	d.full = true
	for n, size := 0, 3000; ; n++ {
		err := l.Append([]Write{{Commit: l.last, Entries: batches(t, l.last+1, 1, l.next, 1, size)}})
		if OutOfSpace(err) {
			if size == 1 { // nor is there a byte left for a smaller one
				break
			}
			size = 1
		} else if must(t, err); n == 1000 {
			t.Fatal("records find space for ever")
		}
	}
	appendAll(t, l, Write{Commit: l.last + 1, Entries: []*raftpb.Entry{entry(l.last+1, 1, commandData("trim", startMS))}})
	l.SetApplied(l.last)
	l.Trim(15)
	if !l.WantsCheckpoint() {
		t.Fatal("the trim waits for nothing")
	}
	return l
}

// A trim is what makes space, so it must not wait for any.
func TestATrimFreesFilesOnAFullDisk(t *testing.T) {
	d := &fullDisk{}
	l := trimmable(t, d)
	before := len(l.segs)
	l.OfferCheckpoint(Checkpoint{Index: l.last, Term: 1, Conf: founders(), Next: l.next, LogStart: 15})
	must(t, l.Maintain())
	l.Trim(15)
	must(t, l.Maintain())
	if len(l.segs) >= before || l.Aged() {
		t.Errorf("%d segments of %d are left, more to do: %v", len(l.segs), before, l.Aged())
	}
}

// A large checkpoint does wait, and upkeep asks for another turn until it is written; what else fails in it is no want of space.
func TestUpkeepWithoutSpaceHidesNoFailure(t *testing.T) {
	d, bad := &fullDisk{}, false
	l := trimmable(t, d, func(o *Options) {
		o.Hooks.FS = func(op FSOp) error {
			if bad && op.Kind == "syncdir" {
				return syscall.EIO
			}
			return nil
		}
	})
	l.OfferCheckpoint(Checkpoint{Index: l.last, Term: 1, Conf: founders(), Next: l.next, LogStart: 15})
	must(t, l.Maintain())
	if l.Trim(15); !l.Trim(15) {
		t.Fatal("nothing can go")
	}
	l.SetApplied(l.last)
	appendAll(t, l, Write{Commit: l.last + 1, Entries: []*raftpb.Entry{entry(l.last+1, 1, commandData("x", startMS))}})
	l.OfferCheckpoint(Checkpoint{Index: l.last, Term: 1, Conf: founders(), Next: l.next, LogStart: 15, State: make([]byte, 3<<20)})
	bad = true
	if err := l.Maintain(); err == nil || OutOfSpace(err) || l.failed() == nil {
		t.Errorf("upkeep whose sync failed answers %v", err)
	}
	bad = false

	d = &fullDisk{}
	l = trimmable(t, d)
	l.OfferCheckpoint(Checkpoint{Index: l.last, Term: 1, Conf: founders(), Next: l.next, LogStart: 15, State: make([]byte, 3<<20)})
	must(t, l.Maintain())
	if !l.Aged() || l.ckpt.LogStart == 15 {
		t.Error("what found no space is forgotten, or written")
	}
	d.full = false
	must(t, l.Maintain())
	if l.ckpt.LogStart != 15 {
		t.Error("the checkpoint is not written")
	}
}

// Where there is plenty of space no blocks are taken, since that costs time. On a disk that may be full soon each log gets some, also one that is idle.
func TestBlocksAreTakenWhereTheDiskMayBeFullSoon(t *testing.T) {
	free, clock := int64(1<<40), &testClock{ms: startMS}
	s := openStore(t, t.TempDir(), func(o *Options) {
		o.Clock = clock
		o.Hooks.Free = func(string) (int64, error) { return free, nil }
		o.ReserveBytes = 1 << 30
	})
	l := openLog(t, s, LogOptions{})
	f := l.segs[0].file
	appendAll(t, l, Write{Term: 1, Vote: 1, Entries: batches(t, 2, 1, 0, 3, 8000)})
	must(t, l.Maintain())
	if f.held != 0 || l.Aged() {
		t.Fatalf("%d bytes are held, more to do: %v", f.held, l.Aged())
	}
	free = 1<<30 + tightBytes - 1
	if _, err := s.Free(); err != nil || !l.Aged() {
		t.Fatalf("an idle log gets no turn (%v)", err)
	}
	must(t, l.Maintain())
	if size := fileSize(t, l); f.held < size+spareBytes || l.Aged() {
		t.Fatalf("%d bytes are held of a file with %d, more to do: %v", f.held, size, l.Aged())
	}
	// With plenty again the file grows beyond its blocks, and needs others when the disk gets full once more.
	free = 1 << 40
	appendAll(t, l, Write{Entries: batches(t, 5, 1, 3, 3, 300_000)})
	free = 1<<30 + tightBytes - 1
	if _, err := s.Free(); err != nil || l.Aged() {
		t.Fatalf("it asks again at once (%v)", err)
	}
	clock.ms += spareAgain.Milliseconds()
	if !l.Aged() {
		t.Fatal("a log that has outgrown what was kept for it gets no turn")
	}
	must(t, l.Maintain())
	if size := fileSize(t, l); f.held < size+spareBytes || l.Aged() {
		t.Fatalf("%d bytes are held of a file with %d, more to do: %v", f.held, size, l.Aged())
	}
	held := f.held
	appendAll(t, l, Write{Entries: batches(t, 8, 1, 6, 3, 300_000)})
	if f.held < held+800_000 {
		t.Errorf("%d bytes are held, were %d", f.held, held)
	}
}

// An idle log that has used up what is kept for it asks for it again once the disk has space, as it did the first time.
func TestAnIdleLogAsksAgainForWhatItHasUsedUp(t *testing.T) {
	d, clock := &fullDisk{}, &testClock{ms: startMS}
	s := openStore(t, t.TempDir(), d.hooks, func(o *Options) {
		o.Clock = clock
		o.Hooks.Free = func(string) (int64, error) { return 100 << 20, nil }
	})
	l := openLog(t, s, LogOptions{})
	appendAll(t, l, Write{Term: 1, Vote: 1, Entries: batches(t, 2, 1, 0, 3, 8000)})
	must(t, l.Maintain())
	f := l.segs[0].file
	if l.Aged() || f.held < fileSize(t, l)+spareBytes {
		t.Fatal("nothing is kept")
	}
	d.full = true
	for term, kept := uint64(2), true; kept; term++ { // elections
		kept = f.held >= fileSize(t, l)+slackBytes+spareBytes
		appendAll(t, l, Write{Term: term, Vote: 1, Entries: []*raftpb.Entry{entry(l.last+1, term, nil)}})
	}
	must(t, l.Maintain())
	d.full = false // for a while
	clock.ms += spareAgain.Milliseconds()
	if !l.Aged() {
		t.Fatalf("%d bytes beyond the file's end are kept, and the log asks for no more", f.held-fileSize(t, l))
	}
	must(t, l.Maintain())
	if size := fileSize(t, l); f.held < size+spareBytes || l.Aged() {
		t.Errorf("%d bytes are held of a file with %d, more to do: %v", f.held, size, l.Aged())
	}
}

// What a file has from before it was opened is not asked for anew: XFS would want as much to be free. A file that may not grow shows whether it is.
func TestBlocksThatAFileHasAreNotAskedForAnew(t *testing.T) {
	fd, err := unix.MemfdCreate("segment", unix.MFD_ALLOW_SEALING)
	must(t, err)
	file := os.NewFile(uintptr(fd), "segment")
	defer file.Close()
	path, d := fmt.Sprintf("/proc/self/fd/%d", fd), disk{}
	must(t, unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20))
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_GROW); err != nil {
		t.Fatal(err)
	}
	must(t, d.hold(path, 0, 1<<20-treeBytes))
	if err := d.hold(path, 0, 1<<20); err == nil {
		t.Error("what may be its tree of blocks is taken for data")
	}
}

// A segment for which there is no room is not made in vain, at each try: here it could be made, since only what is said to be free is little.
func TestWithoutRoomNoSegmentIsBegun(t *testing.T) {
	free := int64(1 << 40)
	s := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Free = func(string) (int64, error) { return free, nil }
	})
	l := openLog(t, s, LogOptions{SegmentBytes: 64 << 10})
	appendAll(t, l, Write{Term: 1, Vote: 1, Entries: batches(t, 2, 1, 0, 1, 60_000)})
	free = segmentRoom - 1
	ws := []Write{{Entries: batches(t, 3, 1, 1, 1, 60_000)}}
	if err := l.Append(ws); !OutOfSpace(err) {
		t.Fatalf("answers %v", err)
	}
	free = segmentRoom
	appendAll(t, l, ws...)
	if len(l.segs) != 2 {
		t.Errorf("%d segments", len(l.segs))
	}
}
