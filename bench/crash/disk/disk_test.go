package disk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// script is a disk that is fed by hand; each event is over before the next begins.
type script struct {
	t *testing.T
	d *Disk
	n int
}

func newScript(t *testing.T) *script { return &script{t: t, d: New()} }

func (s *script) step(e Event) {
	s.t.Helper()
	s.n += 2
	if e.Begin == 0 {
		e.Begin, e.End = s.n, s.n+1
	}
	if err := s.d.Step(&e); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) open(path string)   { s.step(Event{Kind: Open, Path: path}) }
func (s *script) mkdir(path string)  { s.step(Event{Kind: Mkdir, Path: path}) }
func (s *script) sync(path string)   { s.step(Event{Kind: Sync, Path: path}) }
func (s *script) remove(path string) { s.step(Event{Kind: Remove, Path: path}) }
func (s *script) rename(path, to string) {
	s.step(Event{Kind: Rename, Path: path, To: to})
}
func (s *script) write(path string, off int64, b byte, n int) {
	s.step(Event{Kind: Write, Path: path, Off: off, Data: bytes.Repeat([]byte{b}, n)})
}

// show is an image in words: a letter for each sector of a file.
func show(img *Image) string {
	var out []string
	for _, name := range img.names {
		c, ok := img.files[name]
		if !ok {
			out = append(out, name+"/")
			continue
		}
		text := ""
		for off := int64(0); off < c.size; off += sectorSize {
			b := img.Page(name, off/pageSize)[off%pageSize]
			if b == 0 {
				b = '.'
			}
			text += string(rune(b))
		}
		out = append(out, name+"="+text)
	}
	return strings.Join(out, " ")
}

func (s *script) want(mode Mode, want string) {
	s.t.Helper()
	if got := show(s.d.Cut(mode, nil)); got != want {
		s.t.Errorf("kept %s: %q, want %q", mode, got, want)
	}
}

// wantRandom wants many draws to give exactly these images.
func (s *script) wantRandom(want ...string) {
	s.t.Helper()
	got := map[string]uint64{}
	hashes := map[uint64]bool{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		img := s.d.Cut(Random, rnd)
		got[show(img)] = img.Hash
		hashes[img.Hash] = true
	}
	for _, w := range want {
		if _, ok := got[w]; !ok {
			s.t.Errorf("%q never came", w)
		}
		delete(got, w)
	}
	for g := range got {
		s.t.Errorf("%q cannot be", g)
	}
	if len(hashes) != len(want) {
		s.t.Errorf("%d hashes of %d images", len(hashes), len(want))
	}
}

func TestUnsyncedFileIsLostWithItsName(t *testing.T) {
	s := newScript(t)
	s.open("a")
	s.write("a", 0, 'x', 1024)
	s.want(Nothing, "")
	s.want(All, "a=xx")
	s.sync("a")
	s.want(Nothing, "") // a synced file whose folder is not
	s.sync(".")
	s.want(Nothing, "a=xx")
	s.wantRandom("a=xx")
}

func TestSyncedNameOfUnsyncedFileIsAnyPartOfIt(t *testing.T) {
	s := newScript(t)
	s.open("a")
	s.sync(".")
	s.write("a", 0, 'x', 1024)
	s.want(Nothing, "a=")
	s.wantRandom("a=", "a=x", "a=.x", "a=xx")
}

func TestWritesAreTornAtSectorsAndLostInAnyOrder(t *testing.T) {
	s := newScript(t)
	s.open("a")
	s.write("a", 0, 'o', 1024)
	s.sync("a")
	s.sync(".")
	s.write("a", 0, 'x', 1024)
	s.write("a", 512, 'y', 512)
	s.want(Nothing, "a=oo")
	s.want(All, "a=xy")
	s.wantRandom("a=oo", "a=xo", "a=ox", "a=xx", "a=oy", "a=xy")
}

func TestWriteWithinASectorKeepsItsRest(t *testing.T) {
	s := newScript(t)
	s.open("a")
	s.write("a", 0, 'o', 512)
	s.write("a", 100, 'x', 500) // into the next sector
	img := s.d.Cut(All, nil)
	if img.Page("f", 0)[0] != 0 || img.Page("a", 0)[99] != 'o' || img.Page("a", 0)[100] != 'x' || img.Size("a") != 600 {
		t.Errorf("%q, %d bytes", img.Page("a", 0)[90:110], img.Size("a"))
	}
}

func TestSyncHoldsForWhatWasOverWhenItBegan(t *testing.T) {
	s := newScript(t)
	s.open("a")
	s.sync(".")
	s.step(Event{Kind: Write, Path: "a", Data: bytes.Repeat([]byte{'x'}, 512), Begin: 10, End: 13}) // still on when the sync begins
	s.step(Event{Kind: Sync, Path: "a", Begin: 12, End: 14})
	s.want(Nothing, "a=")
	s.step(Event{Kind: Sync, Path: "a", Begin: 15, End: 16})
	s.want(Nothing, "a=x")
}

func TestRenameCountsWithItsFoldersSync(t *testing.T) {
	s := newScript(t)
	s.open("a.tmp")
	s.write("a.tmp", 0, 'x', 512)
	s.sync("a.tmp")
	s.rename("a.tmp", "a")
	s.wantRandom("", "a.tmp=x", "a=x")
	s.sync(".")
	s.want(Nothing, "a=x")
	s.write("a", 0, 'y', 512) // through the same descriptor
	s.wantRandom("a=x", "a=y")
}

func TestFoldersKeepAPrefixOfTheirChangesEach(t *testing.T) {
	s := newScript(t)
	s.mkdir("d")
	s.open("d/1")
	s.open("d/2")
	s.want(All, "d/ d/1= d/2=")
	s.sync("d") // what is in it is safe, it is not
	s.want(Nothing, "")
	s.sync(".")
	s.want(Nothing, "d/ d/1= d/2=")
	s.remove("d/1")
	s.remove("d/2")
	s.wantRandom("d/ d/1= d/2=", "d/ d/2=", "d/")
	s.remove("d")
	s.wantRandom("d/ d/1= d/2=", "d/ d/2=", "d/", "")
	s.sync(".")
	s.want(Nothing, "")
}

func TestRenamedFolderTakesItsUnsyncedChangesAlong(t *testing.T) {
	s := newScript(t)
	s.mkdir("x.installing")
	s.sync(".")
	s.open("x.installing/1")
	s.rename("x.installing", "x")
	s.wantRandom("x.installing/", "x.installing/ x.installing/1=", "x/", "x/ x/1=")
	s.sync("x")
	s.sync(".")
	s.want(Nothing, "x/ x/1=")
}

func TestRemovedFileMayComeBackWithWhatWasWrittenSince(t *testing.T) {
	s := newScript(t)
	s.open("a")
	s.sync(".")
	s.remove("a")
	s.write("a"+deletedSuffix, 0, 'x', 512)
	s.want(Nothing, "a=")
	s.want(All, "")
	s.wantRandom("a=", "a=x", "")
}

func TestSizeIsAChangeLikeOthers(t *testing.T) {
	s := newScript(t)
	s.open("a")
	s.write("a", 0, 'x', 1024)
	s.sync("a")
	s.sync(".")
	s.step(Event{Kind: Size, Path: "a", Off: 2048})
	s.wantRandom("a=xx", "a=xx..")
	s.step(Event{Kind: Open, Path: "a", Truncate: true})
	s.wantRandom("a=xx", "a=xx..", "a=")
}

func TestImageOnDiskIsWhatItSays(t *testing.T) {
	s := newScript(t)
	s.mkdir("d")
	s.open("d/a")
	s.write("d/a", 8192, 'x', 512)
	s.step(Event{Kind: Size, Path: "d/a", Off: 20000})
	img := s.d.Cut(All, nil).Flip("d/a", 8192, 0)
	dir := t.TempDir()
	if err := img.WriteTo(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "d", "a"))
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 20000)
	copy(want[8192:], bytes.Repeat([]byte{'x'}, 512))
	want[8192] ^= 1
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes, byte 8192 is %q", len(got), got[8192])
	}
	if img.Hash == s.d.Cut(All, nil).Hash {
		t.Error("a flipped bit does not change the hash")
	}
	if again := img.Flip("d/a", 8192, 0); again.Hash != s.d.Cut(All, nil).Hash {
		t.Error("flipped back it has another hash")
	}
}

func TestImagesDoNotChangeWhenTheDiskGoesOn(t *testing.T) {
	s := newScript(t)
	s.open("a")
	s.write("a", 0, 'x', 512)
	img := s.d.Cut(All, nil)
	s.write("a", 0, 'y', 512)
	s.sync("a")
	s.remove("a")
	s.sync(".")
	if got := show(img); got != "a=x" {
		t.Errorf("it is %q now", got)
	}
}

func hex(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

func parse(t *testing.T, lines ...string) ([]Event, error) {
	t.Helper()
	for i := range lines {
		for _, word := range []string{"/r/d/a.tmp", "/r/d/a", "/r/d", "/r", "/m", "xy", "out", "d/b", "/other"} {
			lines[i] = strings.ReplaceAll(lines[i], "{"+word+"}", hex(word))
		}
	}
	return Parse(strings.NewReader(strings.Join(lines, "\n")+"\n"), "/r", "/m")
}

func TestTraceBecomesEventsInTheOrderInWhichTheyCount(t *testing.T) {
	got, err := parse(t,
		`10  mkdirat(AT_FDCWD<{/other}>, "{/r/d}", 0750) = 0`,
		`10  openat(AT_FDCWD<{/other}>, "{/r/d/a.tmp}", O_RDWR|O_CREAT|O_CLOEXEC, 0640) = 5<{/r/d/a.tmp}>`,
		`11  pwrite64(5<{/r/d/a.tmp}>, "{xy}", 2, 4096 <unfinished ...>`,
		`10  write(4<{/m}>, "{out}", 3)  = 3`,
		`11  <... pwrite64 resumed>)          = 2`,
		`11  fdatasync(5<{/r/d/a.tmp}> <unfinished ...>`,
		`10  renameat(AT_FDCWD<{/other}>, "{/r/d/a.tmp}", 3<{/r}>, "{d/b}") = 0`,
		`11  <... fdatasync resumed>) = 0`,
		`10  unlinkat(3<{/r}>, "{d/b}", 0) = 0`,
		`10  unlinkat(AT_FDCWD<{/other}>, "{/r/d}", 0) = -1 EISDIR (Is a directory)`,
		`10  openat(AT_FDCWD<{/other}>, "{/other}", O_RDWR|O_CREAT|O_CLOEXEC, 0640) = 6<{/other}>`,
		`10  write(1</dev/null>, "{out}", 3) = 3`,
		`10  ftruncate(5<{/r/d/a}>(deleted), 9) = 0`,
		`10  fallocate(5<{/r/d/a.tmp}>, FALLOC_FL_KEEP_SIZE, 0, 4096) = 0`,
		`10  --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL} ---`,
		`10  +++ exited with 0 +++`,
	)
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, e := range got {
		text = append(text, strings.ReplaceAll(fmt.Sprintf("%s %s %s %d %s %d-%d", e.Kind, e.Path, e.To, e.Off, e.Data, e.Begin, e.End), "  ", " "))
	}
	want := []string{
		"mkdir d 0 1-1",
		"open to write d/a.tmp 0 2-2",
		"write d/a.tmp 4096 xy 3-5",
		"promise 0 out 4-4",
		"rename d/a.tmp d/b 0 7-7",
		"sync d/a.tmp 0 6-8",
		"remove d/b 0 9-9",
		"set size d/a" + deletedSuffix + " 9 13-13",
	}
	for i := range max(len(text), len(want)) {
		g, w := "", ""
		if i < len(text) {
			g = strings.TrimSpace(strings.ReplaceAll(text[i], "  ", " "))
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("event %d: %q, want %q", i, g, w)
		}
	}
}

// What is not modelled must not be left out: the replay would be of another disk.
func TestTraceRefusesWhatItDoesNotModel(t *testing.T) {
	for name, line := range map[string]string{
		"an unknown call":           `10  link("{/r/d/a}", "{/r/d}") = 0`,
		"a write at the file's end": `10  write(5<{/r/d/a}>, "{xy}", 2) = 2`,
		"a write that was cut off":  `10  pwrite64(5<{/r/d/a}>, "{xy}"..., 2, 0) = 2`,
		"a short write":             `10  pwrite64(5<{/r/d/a}>, "{xy}", 2, 0) = 1`,
		"a move out of the folder":  `10  renameat(AT_FDCWD<{/r}>, "{/r/d/a}", AT_FDCWD<{/r}>, "{/other}") = 0`,
		"space with a new size":     `10  fallocate(5<{/r/d/a}>, 0, 0, 4096) = 0`,
		"another ring":              `10  io_uring_setup(8, 0xc000) = 7`,
	} {
		if got, err := parse(t, line); err == nil {
			t.Errorf("%s: no error, events %v", name, got)
		}
	}
}
