package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"testing"
)

// pagesOf takes a file apart: the pages of its trees, and the free ones.
type pagesOf struct {
	meta      metaPage
	trees     []uint64
	branches  []uint64
	freePages []uint64
}

func takeApart(b []byte) (p pagesOf) {
	le, m := binary.LittleEndian, newestMeta(b)
	p.meta = metaPage{root: le.Uint64(m[16:]), freelist: le.Uint64(m[32:]), high: le.Uint64(m[40:])}
	list := b[p.meta.freelist*boltPageSize:]
	for i := range int(le.Uint16(list[10:])) {
		p.freePages = append(p.freePages, le.Uint64(list[16+8*i:]))
	}
	for id := uint64(2); id < p.meta.high; id++ {
		page := b[id*boltPageSize:]
		flags := le.Uint16(page[8:])
		if le.Uint64(page) != id || flags != leafPage && flags != branchPage || slices.Contains(p.freePages, id) {
			continue
		}
		p.trees = append(p.trees, id)
		if flags == branchPage {
			p.branches = append(p.branches, id)
		}
	}
	return p
}

// segmentOf gives the bytes of a segment with n entries of size bytes. Some are truncated and written anew, so that pages are free.
func segmentOf(t testing.TB, n, size int) []byte {
	t.Helper()
	s := openStore(t, t.TempDir(), func(o *Options) { o.Hooks.NoSync = true })
	l := openLog(t, s, LogOptions{SegmentBytes: 256 << 20})
	for i := 0; i < n; i += 32 {
		appendAll(t, l, Write{Entries: batches(t, uint64(i)+2, 1, int64(i), min(32, n-i), size)})
	}
	from := n - n/4
	appendAll(t, l, Write{Term: 2, Entries: batches(t, uint64(from)+2, 2, int64(from), n-from, size)})
	b, err := os.ReadFile(l.segs[0].file.path)
	must(t, err)
	return b
}

func (p *pagesOf) walk(b []byte, scope walkScope) error {
	return walkPages(bytes.NewReader(b), scope, p.meta.root, p.meta.freelist, p.meta.high)
}

// Each bit of a page's header and of its elements counts, but for the length of what stands last in a leaf, which its reader checks.
func TestEveryBitThatBboltBelievesIsChecked(t *testing.T) {
	for _, c := range []struct{ n, size, branches int }{{3, 100, 0}, {40, 900, 1}, {700, 1000, 3}, {60, 9000, 0}, {150, 5000, 1}} {
		t.Run(fmt.Sprintf("%d of %d bytes", c.n, c.size), func(t *testing.T) {
			b := segmentOf(t, c.n, c.size)
			p := takeApart(b)
			for _, scope := range []walkScope{{}, {all: true}, {cut: []byte("\x00\x00\x00\x00\x00\x00\x00\x02")}} {
				must(t, p.walk(b, scope))
			}
			if len(p.freePages) == 0 || len(p.branches) < c.branches {
				t.Fatalf("%d free pages, %d branch pages", len(p.freePages), len(p.branches))
			}
			flipped := 0
			try := func(scope walkScope, at uint64, bit int) {
				t.Helper()
				b[at] ^= 1 << bit
				if err := p.walk(b, scope); !isCorrupt(err) {
					t.Errorf("scope %v, page %d, byte %d, bit %d: %v", scope, at/boltPageSize, at%boltPageSize, bit, err)
				}
				b[at] ^= 1 << bit
				flipped++
			}
			le := binary.LittleEndian
			stride := 1
			if testing.Short() {
				stride = 7
			}
			for turn, id := range p.trees {
				page := b[id*boltPageSize:]
				count := int(le.Uint16(page[10:]))
				branch := le.Uint16(page[8:]) == branchPage
				if !branch && id != p.meta.root && turn%max(1, len(p.trees)/12) != 0 {
					continue
				}
				for i := turn % stride; i < 8*(16+16*count); i += stride {
					at := i / 8
					if !branch && at >= 16*count+8 {
						break
					}
					try(walkScope{all: true}, id*boltPageSize+uint64(at), i%8)
					// Of a child's number it shows whether it is another's, not whether it is in the middle of an entry's own pages.
					if child := branch && at >= 16 && at%16 >= 8; (branch || id == p.meta.root) && (!child || c.size < nestedMin) {
						try(walkScope{}, id*boltPageSize+uint64(at), i%8)
					}
				}
				for e := 1; branch && e < count; e += 5 { // keys, but for the first one, which bbolt does not compare
					k := id*boltPageSize + uint64(16+16*e) + uint64(le.Uint32(page[16+16*e:]))
					try(walkScope{all: true}, k+uint64(e%8), e%8)
				}
			}
			list := p.meta.freelist * boltPageSize
			for i := 0; i < 8*(16+8*len(p.freePages)); i += stride {
				if at := i / 8; at/2 == 5 && le.Uint16(b[list+10:])&(1<<(i-80)) != 0 {
					continue // fewer pages are free: they are lost to the file, and that is all
				}
				try(walkScope{all: true}, list+uint64(i/8), i%8)
			}
			if flipped < 300/stride {
				t.Fatalf("only %d bits", flipped)
			}
		})
	}
}

// openDamaged writes a changed file in place of a log's newest segment, and opens the log.
func openDamaged(t *testing.T, s *Store, dir, path string, b []byte) (*Log, error) {
	t.Helper()
	crash(t, s)
	must(t, os.WriteFile(path, b, 0o600))
	return openStore(t, dir, func(o *Options) { o.Hooks.NoSync = true }).OpenLog(testGroup, testReplica, LogOptions{SegmentBytes: 1 << 20})
}

// A root page with 256 elements more reaches into the page behind it, and if the root of the transaction before is there, bbolt's search
// ends in that one: the last entry was gone without a word.
func TestRule02RootPageWithTooManyElementsIsQuarantined(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(o *Options) { o.Hooks.NoSync = true })
	l := openLog(t, s, LogOptions{SegmentBytes: 1 << 20})
	appendAll(t, l, Write{Entries: batches(t, 2, 1, 0, 1, 3000)}) // in a page of its own, which is the one before the new root
	path := l.segs[0].file.path
	b, err := os.ReadFile(path)
	must(t, err)
	p := takeApart(b)
	le := binary.LittleEndian
	page, before := b[p.meta.root*boltPageSize:], b[(p.meta.root+1)*boltPageSize:]
	if le.Uint16(page[10:]) != 4 || le.Uint64(before) != p.meta.root+1 || le.Uint16(before[10:]) != 4 || before[16+4*16] != 'h' {
		t.Fatal("the root before is not behind this one: nothing is left to prove")
	}
	le.PutUint16(page[10:], 4+256)
	var q *QuarantinedError
	if l, err := openDamaged(t, s, dir, path, b); !errors.As(err, &q) {
		last, _ := l.LastIndex()
		t.Fatalf("%v; the last entry is %d, 2 was acknowledged", err, last)
	}
}

func branchedLog(t *testing.T) (dir string, s *Store, l *Log, path string, b []byte, p pagesOf) {
	t.Helper()
	dir = t.TempDir()
	s = openStore(t, dir, func(o *Options) { o.Hooks.NoSync = true })
	l = openLog(t, s, LogOptions{SegmentBytes: 1 << 20})
	for i := 0; i < 300; i += 10 {
		appendAll(t, l, Write{Entries: batches(t, uint64(i)+2, 1, int64(i), 10, 1000)})
	}
	path = l.segs[0].file.path
	b, err := os.ReadFile(path)
	must(t, err)
	if p = takeApart(b); len(p.branches) != 1 {
		t.Fatalf("%d branch pages", len(p.branches))
	}
	return dir, s, l, path, b, p
}

func TestRule02DamagedStructureIsQuarantined(t *testing.T) {
	le := binary.LittleEndian
	for name, damage := range map[string]func(b []byte, p pagesOf){
		"a root that spans millions of pages": func(b []byte, p pagesOf) { b[p.meta.root*boltPageSize+15] ^= 0x80 },
		"a branch page that is its own child": func(b []byte, p pagesOf) {
			le.PutUint64(b[p.branches[0]*boltPageSize+16+8:], p.branches[0])
		},
		"a page that counts as free and is in use": func(b []byte, p pagesOf) {
			le.PutUint64(b[p.meta.freelist*boltPageSize+16:], p.branches[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, s, _, path, b, p := branchedLog(t)
			damage(b, p)
			var q *QuarantinedError
			if _, err := openDamaged(t, s, dir, path, b); !errors.As(err, &q) {
				t.Fatalf("opened: %v", err)
			}
		})
	}
}

// leafOf is the page that holds an entry of 1000 bytes.
func (p *pagesOf) leafOf(t *testing.T, b []byte, index uint64) uint64 {
	t.Helper()
	le := binary.LittleEndian
	for _, id := range p.trees {
		page := b[id*boltPageSize:][:boltPageSize]
		if le.Uint16(page[8:]) != leafPage || id == p.meta.root {
			continue
		}
		for e := range int(le.Uint16(page[10:])) {
			at := 16 + 16*e + int(le.Uint32(page[16+16*e+4:]))
			if binary.BigEndian.Uint64(page[at:]) == index {
				return id
			}
		}
	}
	t.Fatalf("entry %d is in no leaf", index)
	return 0
}

// Leaves are not read when a log is opened, but for the last one. bbolt frees those that a truncation empties, and as many pages as they say.
func TestRule02DamagedLeafStopsATruncation(t *testing.T) {
	dir, s, _, path, b, p := branchedLog(t)
	b[p.leafOf(t, b, 290)*boltPageSize+14] ^= 1 // 65,536 pages more
	l, err := openDamaged(t, s, dir, path, b)
	must(t, err)
	must(t, l.Append([]Write{{Entries: batches(t, 302, 1, 300, 1, 1000)}}))
	must(t, l.Append([]Write{{Term: 2, Entries: batches(t, 298, 2, 296, 1, 1000)}}))
	var poisoned *PoisonedError
	if err := l.Append([]Write{{Term: 3, Entries: batches(t, 288, 3, 286, 1, 1000)}}); !errors.As(err, &poisoned) {
		t.Fatalf("truncated: %v", err)
	}
	if l.segs[0].file.stuck {
		t.Fatal("bbolt met it first, in the middle of a transaction")
	}
}

// Nobody reads what such a page says of itself before it is freed, years later perhaps. An install reads all anyway.
func TestRule19DamagedPageHeaderIsNotPropagated(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: 256 << 10})
	ents := batches(t, 2, 1, 0, 300, 1000)
	for i := 0; i < len(ents); i += 10 {
		appendAll(t, l, Write{Entries: ents[i : i+10]})
	}
	applyTo(t, l, ents, 301)
	sh := ship(t, l, checkpointAt(ents, 301))
	path := l.segs[0].file.path
	b, err := os.ReadFile(path)
	must(t, err)
	p := takeApart(b)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{1}, int64(p.leafOf(t, b, 50)*boltPageSize+14))
	must(t, errors.Join(err, f.Close()))
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	var d *DamagedError
	if err := transferFile(sh, in, 0); !errors.As(err, &d) || d.Transit {
		t.Fatalf("a page that spans 65,536 others was installed: %v", err)
	}
	must(t, in.Abort())
	var poisoned *PoisonedError
	if _, err := sh.Check(0, 0, 1<<30); !errors.As(err, &poisoned) {
		t.Fatalf("the source does not find its damage: %v", err)
	}
}

// BenchmarkCheckPages is what the first opening of a segment costs beside bbolt's own, its pages being in memory.
func BenchmarkCheckPages(b *testing.B) {
	for _, c := range []struct{ n, size int }{{10, 200}, {4 << 10, 64 << 10}, {240 << 10, 1 << 10}} {
		if testing.Short() && c.n > 10 {
			continue
		}
		dir := b.TempDir()
		s := openStore(b, dir, func(o *Options) { o.Hooks.NoSync = true; o.TailBytes = 16 << 20 })
		l := openLog(b, s, LogOptions{SegmentBytes: 512 << 20})
		data := batchData(b, 0, 1, startMS, 1, c.size)
		for i := 0; i < c.n; {
			w := Write{Commit: uint64(i) + 1}
			for range min(64, c.n-i) {
				w.Entries = append(w.Entries, entry(uint64(i)+2, 1, data))
				i++
			}
			appendAll(b, l, w)
			l.SetApplied(uint64(i) + 1)
		}
		path := l.segs[0].file.path
		for name, scope := range map[string]walkScope{"open": {}, "open again": {known: true}, "install": {all: true}} {
			b.Run(fmt.Sprintf("%s/size=%d/entries=%d", name, c.size, c.n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					must(b, checkPages(path, scope))
				}
			})
		}
		must(b, s.Close())
	}
}

// FuzzWalkPages: whatever stands in a file, its meta pages with a right sum too, a walk ends, without a panic.
func FuzzWalkPages(f *testing.F) {
	b := segmentOf(f, 60, 900)
	p := takeApart(b)
	b = b[:p.meta.high*boltPageSize] // what follows is room
	f.Add([]byte{0, 0, 0, 0}, p.meta.root, p.meta.freelist, p.meta.high)
	f.Add(binary.LittleEndian.AppendUint32(nil, uint32(p.branches[0]*boltPageSize+16+8)<<8|1), p.meta.root, p.meta.freelist, p.meta.high)
	f.Add([]byte(nil), uint64(1)<<60, uint64(1)<<60, uint64(1)<<60)
	f.Fuzz(func(t *testing.T, changes []byte, root, freelist, high uint64) { // each change of four bytes: a place, and what is changed there
		bad := bytes.Clone(b)
		for ; len(changes) >= 4; changes = changes[4:] {
			c := binary.LittleEndian.Uint32(changes)
			bad[int(c>>8)%len(bad)] ^= byte(c)
		}
		for page := range 2 { // as whoever sends a file may make them
			m := bad[page*boltPageSize+metaPageHeader:][:metaLen]
			binary.LittleEndian.PutUint64(m[16:], root)
			binary.LittleEndian.PutUint64(m[32:], freelist)
			binary.LittleEndian.PutUint64(m[40:], high)
			sum := fnv.New64a()
			sum.Write(m[:metaLen-8])
			binary.LittleEndian.PutUint64(m[metaLen-8:], sum.Sum64())
		}
		for _, scope := range []walkScope{{}, {all: true}, {cut: []byte("\x00\x00\x00\x00\x00\x00\x00\x09")}} {
			if err := checkOpen(bytes.NewReader(bad), int64(len(bad)), scope); err != nil && !isCorrupt(err) {
				t.Fatal(err)
			}
		}
	})
}
