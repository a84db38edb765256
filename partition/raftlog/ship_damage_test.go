package raftlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// Entries above what is applied may be truncated. They are in no shipment, and a truncation changes nothing of one.
func TestRule19TruncationIsNeverSeen(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	ents := fillSegments(t, l, 40)
	at := l.Segments()[2].LastIndex + 2
	applyTo(t, l, ents, at)
	cp := checkpointAt(ents, at)
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	must(t, transferFile(sh, in, 0))
	appendAll(t, l, Write{Term: 7, Entries: batches(t, at+1, 7, cp.Next, 10, 4096)})
	must(t, transferRest(sh, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 1)
}

func TestRule19DamageInTransitIsDetectedAndRepaired(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	m := sh.Manifest()
	var d *DamagedError
	for i := range m.Files {
		p := make([]byte, m.Files[i].Bytes)
		n, err := sh.ReadFile(i, 0, p)
		must(t, err)
		p[n/2] ^= 0x10
		must(t, in.WriteFile(i, 0, p))
		sum, err := sumOf(sh, i)
		must(t, err)
		if err := in.FinishFile(i, sum); !errors.As(err, &d) || !d.Transit {
			t.Fatalf("a flipped bit in file %d: %v", i, err)
		}
		if have, done := in.Have(i); have != 0 || done {
			t.Fatal("the damaged file is kept")
		}
		if _, err := os.Stat(in.path(in.files[i])); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("the damaged file is still there: %v", err)
		}
	}
	for i := range m.Files {
		must(t, transferFile(sh, in, i))
	}
	p, _, err := sh.Tail(m.TailFirst, 1<<20, nil)
	must(t, err)
	for _, bad := range []func(p []byte) []byte{
		func(p []byte) []byte { p[100] ^= 1; return p },
		func(p []byte) []byte { p[17] ^= 1; return p },
		func(p []byte) []byte { return p[:len(p)-1] },
		func(p []byte) []byte { return p[:40] },
	} {
		if err := in.WriteTail(bad(append([]byte(nil), p...))); !errors.As(err, &d) || !d.Transit {
			t.Fatalf("a damaged tail: %v", err)
		}
	}
	if err := in.Finish(); err == nil {
		t.Fatal("finished without a tail")
	}
	must(t, in.WriteTail(p))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}

// flip changes one byte of the first occurrence of what in a file.
func flip(t *testing.T, path, what string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	must(t, err)
	i := strings.Index(string(raw), what)
	if i < 0 {
		t.Fatalf("%s does not hold what is to be damaged", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{raw[i] ^ 1}, int64(i))
	must(t, errors.Join(err, f.Close()))
}

// Damage at the source has the right hash, whenever it came about. The receiver finds it, and the source when it is told to look.
func TestRule19DamagedSourceIsNotPropagated(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 40)
	path := l.segs[1].file.path
	sh := ship(t, l, cp)
	// The hash is of an earlier shipment as well: it is not remembered.
	other := ship(t, l, cp)
	_, err := sumOf(other, 1)
	must(t, err)
	flip(t, path, string(ents[10].Data[200:300]))
	in := install(t, to)
	var d *DamagedError
	if err := transfer(sh, in); !errors.As(err, &d) || d.Transit {
		t.Fatalf("the damage was installed: %v", err)
	}
	if rs := s.Replicas(); rs[0].Quarantine != "" {
		t.Fatal("the source found it by itself: nothing is left to prove")
	}
	check := func(i int) error {
		for from := uint64(0); from <= sh.m.Files[i].Last; {
			next, err := sh.Check(i, from, 3000)
			if err != nil {
				return err
			}
			if next <= from {
				t.Fatalf("the check does not go on from entry %d", from)
			}
			from = next
		}
		return nil
	}
	must(t, check(0))
	var p *PoisonedError
	if err := check(1); !errors.As(err, &p) {
		t.Fatalf("the source does not find its damage: %v", err)
	}
	if rs := s.Replicas(); rs[0].Quarantine == "" {
		t.Fatal("the source is not quarantined")
	}
	must(t, in.Abort())
}

// A hash is of the bytes that were sent, in whatever order they were asked for.
func TestSumIsOfWhatWasRead(t *testing.T) {
	s := openStore(t, t.TempDir())
	l, _, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	f := &sh.m.Files[2]
	raw, err := os.ReadFile(l.segs[2].file.path)
	must(t, err)
	want := sha256.Sum256(raw[:f.Bytes])
	for name, order := range map[string][]int64{
		"not at all": nil, "in order": {0, 10_000, 20_000, 30_000}, "the end": {f.Bytes - 5000}, "asked for twice": {0, 10_000, 10_000, 15_000, 3},
		"begun again": {0, 10_000, 0}, "a gap": {0, 20_000},
	} {
		for _, at := range order {
			if _, err := sh.ReadFile(2, at, make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := sumOf(sh, 2)
		must(t, err)
		if got != want {
			t.Errorf("%s: another hash", name)
		}
		if len(sh.open) > shipOpen {
			t.Fatalf("%d files open", len(sh.open))
		}
		for _, other := range []int{0, 1} { // the file is closed meanwhile
			_, err := sumOf(sh, other)
			must(t, err)
		}
	}
	// What was read amiss is read again from the start: the hash follows the bytes that count.
	what := string(raw[f.Bytes/2 : f.Bytes/2+64])
	for _, damaged := range []bool{true, false} {
		if damaged {
			flip(t, l.segs[2].file.path, what)
		} else {
			file, err := os.OpenFile(l.segs[2].file.path, os.O_RDWR, 0)
			must(t, err)
			_, err = file.WriteAt(raw[:f.Bytes], 0)
			must(t, errors.Join(err, file.Close()))
		}
		_, err := sh.ReadFile(2, 0, make([]byte, f.Bytes))
		must(t, err)
		if got, err := sumOf(sh, 2); err != nil || (got == want) == damaged {
			t.Fatalf("damaged %t, and the hash is that of the whole file: %t, %v", damaged, got == want, err)
		}
	}
}

func TestRule19SpaceIsCheckedFirst(t *testing.T) {
	free := int64(1 << 30)
	s := openStore(t, t.TempDir())
	to := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Free = func(string) (int64, error) { return free, nil }
		o.ReserveBytes = 100 << 20
	})
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	in := install(t, to)
	free = 100<<20 + sh.Manifest().Bytes()
	if err := in.Begin(sh.Manifest()); !errors.Is(err, syscall.ENOSPC) || Lasting(err) {
		t.Fatalf("began with too little space: %v", err)
	}
	free = 1 << 30
	must(t, transfer(sh, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}

// Installs share what is free, and look again while bytes arrive, since they are not the only ones to write.
func TestRule19SpaceIsBookedAndWatched(t *testing.T) {
	free := int64(0)
	s := openStore(t, t.TempDir())
	to := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Free = func(string) (int64, error) { return free, nil }
	})
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	one := install(t, to)
	two, err := to.Install(testGroup, newReplica+1)
	must(t, err)
	need := sh.Manifest().Bytes() + sh.Manifest().TailBytes/4 + installSlack
	free = 2*need - 1
	must(t, one.Begin(sh.Manifest()))
	if err := two.Begin(sh.Manifest()); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("both began with the same space: %v", err)
	}
	free = 2 * need
	must(t, two.Begin(sh.Manifest()))
	must(t, two.Abort())
	free = need // its space is given back
	must(t, one.Begin(sh.Manifest()))

	must(t, transferFile(sh, one, 0))
	free = 1 << 20
	one.unlooked = spaceEvery // as if so much had come
	if err := transferFile(sh, one, 1); !errors.Is(err, syscall.ENOSPC) || Lasting(err) {
		t.Fatalf("the disk is full: %v", err)
	}
	must(t, transferFile(sh, one, 0)) // nothing is lost
	if _, done := one.Have(0); !done {
		t.Fatal("what was received is gone")
	}
	free = need
	must(t, transferRest(sh, one))
	must(t, one.Finish())
	if len(to.installs) != 0 {
		t.Fatal("space is still booked")
	}
	checkInstalled(t, to, ents, cp, 2)
}

// newestMeta is the meta page that counts in a bbolt file.
func newestMeta(b []byte) []byte {
	le := binary.LittleEndian
	one, two := b[metaPageHeader:], b[boltPageSize+metaPageHeader:]
	if le.Uint64(two[48:]) > le.Uint64(one[48:]) {
		return two
	}
	return one
}

// The keys of a branch page matter to whoever looks an entry up, and not to a walk over all of them.
func TestRule19DamagedBranchPageIsNotPropagated(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: 256 << 10})
	ents := batches(t, 2, 1, 0, 300, 1000)
	for i := 0; i < len(ents); i += 10 { // two segments, each with a tree of more than one page
		appendAll(t, l, Write{Entries: ents[i : i+10]})
	}
	applyTo(t, l, ents, 301)
	cp := checkpointAt(ents, 301)
	sh := ship(t, l, cp)
	path := l.segs[0].file.path
	b, err := os.ReadFile(path)
	must(t, err)
	le, damaged := binary.LittleEndian, 0
	high := int(le.Uint64(newestMeta(b)[40:]))
	for page := 2; page < high; page++ {
		p := b[page*boltPageSize:]
		if le.Uint16(p[8:]) != 1 { // not a branch page, of this or of an earlier transaction
			continue
		}
		for e := range int(le.Uint16(p[10:])) {
			p[16+16*e+2] ^= 1 // where its key is
			damaged++
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(b, 0)
	must(t, errors.Join(err, f.Close()))
	if damaged == 0 {
		t.Fatal("the segment has no branch page")
	}
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	var d *DamagedError
	if err := transferFile(sh, in, 0); !errors.As(err, &d) || d.Transit {
		t.Fatalf("a damaged branch page: %v", err)
	}
	must(t, in.Abort())
	var p *PoisonedError
	if _, err := sh.Check(0, 0, 1<<30); !errors.As(err, &p) {
		t.Fatalf("the source does not find its damage: %v", err)
	}
}

// bbolt would panic within a commit on a file whose list of free pages is wrong.
func TestRule19DamagedFreelistOfTheSourceEndsTheInstall(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, _, cp := shippedLog(t, s, 40)
	path := l.segs[0].file.path
	sh := ship(t, l, cp)
	b, err := os.ReadFile(path)
	must(t, err)
	le := binary.LittleEndian
	newest := newestMeta(b)
	root, freelist := le.Uint64(newest[16:]), b[le.Uint64(newest[32:])*boltPageSize:]
	n := le.Uint16(freelist[10:])
	le.PutUint64(freelist[16+8*int(n):], root) // the root counts as free
	le.PutUint16(freelist[10:], n+1)
	must(t, os.WriteFile(path, b, 0o600))

	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	var d *DamagedError
	if err := transferFile(sh, in, 0); !errors.As(err, &d) || d.Transit {
		t.Fatalf("a segment whose root counts as free: %v", err)
	}
	must(t, in.Abort())
}

// A panic within a commit, such as of a page that cannot be read, keeps bbolt's writer's lock. The install must end nevertheless.
func TestRule19PanicWithinACommitEndsTheInstall(t *testing.T) {
	s := openStore(t, t.TempDir())
	l, _, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	to := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Commit = func(path string, commit func() error) error {
			if strings.Contains(path, ".installing") {
				panic("page 7 already freed")
			}
			return commit()
		}
	})
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	var d *DamagedError
	if err := transferFile(sh, in, 0); !errors.As(err, &d) || d.Transit {
		t.Fatalf("bbolt panicked: %v", err)
	}
	must(t, in.Abort())
}
