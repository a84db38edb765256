package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// bbolt believes what its pages say of themselves: how many elements one has, where they are, which page is whose child, how many pages it
// spans. None of it is under a checksum. A wrong bit there loses an entry without a word (I1), has bbolt walk in a circle, or take all memory
// for the numbers of pages that were never there. So the pages are walked by their bytes before bbolt sees them. bbolt writes them in one
// way only: elements without gaps, no page longer than it has to be, no page with two parents. Anything else is damage.
//
// Values are not read, they have checksums. Of the leaves of entries only the first and the last one are, there are too many: a wrong one shows
// as an entry that is missing or has another index when it is read. Before a truncation those are walked that it may touch, and at an install
// all.

const (
	branchPage = 1
	leafPage   = 2

	pageHeader   = 16 // id u64, flags u16, count u16, overflow u32
	elementLen   = 16 // of a branch: pos u32, key bytes u32, child u64; of a leaf: flags u32, pos u32, key bytes u32, value bytes u32
	bucketLen    = 16 // a bucket's value: root u64, sequence u64; a page within the value follows if root is 0
	maxKey       = 64 // no key of ours has more bytes
	maxDepth     = 24 // pages from the root to a leaf of an entry's own bucket
	entryBuckets = 2  // how deep buckets nest: entries' bucket in the root, an entry's in that
)

// walkScope tells which leaves of the entries' bucket are walked beside the first and the last one.
type walkScope struct {
	all bool
	// known: the file was walked before by this process and only the list of free pages is read anew, since bbolt reads it at each open.
	known bool
	cut   []byte // those that hold a key from here on, or may be joined with one that does; nil = none
}

// pageWalk is a walk over the pages of one file.
type pageWalk struct {
	f     io.ReaderAt
	scope walkScope
	high  uint64   // the pages of the file are those below
	taken []uint64 // a bit for each page that is free or was met
	bufs  [][]byte // a page for each step down
}

var pageWalks = sync.Pool{New: func() any { return new(pageWalk) }}

// walkPages walks over the free pages and the trees of a file whose meta page says where they are.
func walkPages(f io.ReaderAt, scope walkScope, root, freelist, high uint64) error {
	w := pageWalks.Get().(*pageWalk)
	defer func() {
		w.f, w.scope = nil, walkScope{}
		pageWalks.Put(w)
	}()
	w.f, w.scope, w.high = f, scope, high
	n := int(high/64 + 1)
	if cap(w.taken) < n {
		w.taken = make([]uint64, n)
	}
	w.taken = w.taken[:n]
	clear(w.taken)
	if err := w.freePages(freelist); err != nil || scope.known {
		return err
	}
	return w.tree(root, 0, 0)
}

func (w *pageWalk) buf(depth int) []byte {
	for len(w.bufs) <= depth {
		w.bufs = append(w.bufs, make([]byte, boltPageSize))
	}
	return w.bufs[depth]
}

func (w *pageWalk) read(b []byte, page, at uint64) error {
	n, err := w.f.ReadAt(b, int64(page*boltPageSize+at))
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return corruptf("page %d is beyond the end of the file", page)
	}
	return fmt.Errorf("read page %d: %w", page, err)
}

// take marks n pages from id on as met.
func (w *pageWalk) take(id, n uint64) error {
	if id < 2 || id >= w.high || n > w.high-id {
		return corruptf("page %d, and %d after it, in a file of %d pages", id, n-1, w.high)
	}
	for ; n > 0; id, n = id+1, n-1 {
		if w.taken[id/64]&(1<<(id%64)) != 0 {
			return corruptf("page %d is referred to twice, or is free", id)
		}
		w.taken[id/64] |= 1 << (id % 64)
	}
	return nil
}

// freePages takes the free pages, and those that list them. bbolt chooses a place for the list before it knows how long it will be: taking
// the place shortens it. So it may span a page more than it fills.
func (w *pageWalk) freePages(id uint64) error {
	if id < 2 || id >= w.high {
		return corruptf("the list of free pages is at page %d of %d", id, w.high)
	}
	le, b := binary.LittleEndian, w.buf(0)
	if err := w.read(b, id, 0); err != nil {
		return err
	}
	n, pages := uint64(le.Uint16(b[10:])), uint64(le.Uint32(b[12:]))+1
	at := uint64(pageHeader)
	if n == 0xFFFF {
		n = le.Uint64(b[at:])
		at += 8
	}
	if le.Uint64(b) != id || le.Uint16(b[8:]) != freelistPage || n >= w.high || at+8*n > pages*boltPageSize || (pages-1)*boltPageSize > at+8*(n+pages+1) {
		return corruptf("the list of free pages is damaged")
	}
	if err := w.take(id, pages); err != nil {
		return err
	}
	last := uint64(0)
	for in := uint64(0); n > 0; n, at = n-1, at+8 {
		if page := at / boltPageSize; page != in {
			if err := w.read(b, id, page*boltPageSize); err != nil {
				return err
			}
			in = page
		}
		free := le.Uint64(b[at%boltPageSize:])
		if free <= last {
			return corruptf("the list of free pages is damaged")
		}
		if err := w.take(free, 1); err != nil {
			return err
		}
		last = free
	}
	return nil
}

// bucketWalk is a walk over one bucket's tree.
type bucketWalk struct {
	*pageWalk
	level int // how deep the bucket is nested; the root is 0
	leaf  int // depth of its leaves: all are equally deep; -1 before the first
}

// tree walks over a bucket.
func (w *pageWalk) tree(root uint64, level, depth int) error {
	b := bucketWalk{pageWalk: w, level: level, leaf: -1}
	return b.page(root, nil, nil, nil, true, depth)
}

// wanted tells whether a leaf is read, first that it is the first one. next is the first key that can be neither in it nor in the leaf after it,
// nil = there is none.
func (w *bucketWalk) wanted(hi, next []byte, first bool) bool {
	switch {
	case w.level == 0 || w.scope.all:
		return true
	case w.level == entryBuckets:
		return w.scope.cut != nil
	case first || hi == nil || w.scope.cut != nil && next == nil:
		return true
	}
	return w.scope.cut != nil && string(next) > string(w.scope.cut)
}

// page walks over a page, with all below it, whose keys are from lo on, nil = any, and below hi. It goes from the last element to the first:
// the last leaf tells how deep the others are. The first one must be as deep, or the last one is not where it belongs.
func (w *bucketWalk) page(id uint64, lo, hi, next []byte, first bool, depth int) error {
	if depth > maxDepth {
		return corruptf("page %d is more than %d pages below the root", id, maxDepth)
	}
	if (depth == w.leaf || w.level == entryBuckets) && !w.wanted(hi, next, first) {
		return w.take(id, 1)
	}
	if id < 2 || id >= w.high {
		return corruptf("page %d in a file of %d pages", id, w.high)
	}
	b := w.buf(depth)
	if err := w.read(b, id, 0); err != nil {
		return err
	}
	le := binary.LittleEndian
	pages := uint64(le.Uint32(b[12:])) + 1
	if le.Uint64(b) != id || pages > w.high-id {
		return corruptf("page %d says that it is page %d, and that %d follow", id, le.Uint64(b), pages-1)
	}
	n := nodePage{w: w.pageWalk, id: id, b: b, leaf: le.Uint16(b[8:]) == leafPage, count: int(le.Uint16(b[10:]))}
	if !n.leaf && le.Uint16(b[8:]) != branchPage {
		return corruptf("page %d has flags %#x", id, le.Uint16(b[8:]))
	}
	if w.leaf < 0 && n.leaf {
		w.leaf = depth
	}
	if n.leaf != (depth == w.leaf) || n.count == 0 { // an empty bucket stands in its own value
		return corruptf("page %d is no page for its place in the tree", id)
	}
	end, err := n.layout(pages * boltPageSize)
	if err != nil {
		return err
	}
	if (end-1)/boltPageSize+1 != pages {
		return corruptf("page %d says that %d follow; it has %d bytes", id, pages-1, end)
	}
	if err := w.take(id, pages); err != nil {
		return err
	}
	if err := n.order(lo, hi); err != nil {
		return err
	}
	if n.leaf {
		return w.buckets(&n, depth)
	}
	after := next // of the page after it, or nil
	for i := n.count - 1; i >= 0; i-- {
		k, err := n.key(i)
		if err != nil {
			return err
		}
		if err := w.page(le.Uint64(n.element(i)[8:]), k, hi, after, first && i == 0, depth+1); err != nil {
			return err
		}
		if i == n.count-1 && depth+1 < w.leaf {
			w.ahead(&n)
		}
		hi, after = k, hi
	}
	return nil
}

// ahead has the kernel read the pages below all at once, which a cold disk would otherwise do one after the other.
func (w *pageWalk) ahead(n *nodePage) {
	f, ok := w.f.(*os.File)
	if !ok {
		return
	}
	for i := range n.count - 1 {
		id := binary.LittleEndian.Uint64(n.element(i)[8:])
		_ = unix.Fadvise(int(f.Fd()), int64(id*boltPageSize), boltPageSize, unix.FADV_WILLNEED) // only advice
	}
}

// buckets walks over the buckets in a leaf.
func (w *bucketWalk) buckets(n *nodePage, depth int) error {
	le := binary.LittleEndian
	for i := range n.count {
		e := n.element(i)
		if le.Uint32(e) == 0 {
			if w.level == 0 {
				return corruptf("page %d has a value where there can only be buckets", n.id)
			}
			continue
		}
		if w.level == entryBuckets {
			return corruptf("page %d has a bucket where there can be none", n.id)
		}
		size := uint64(le.Uint32(e[12:]))
		at := n.at(i) + uint64(le.Uint32(e[8:]))
		if size < bucketLen || size > boltPageSize {
			return corruptf("page %d has a bucket of %d bytes", n.id, size)
		}
		v := n.b[min(at, boltPageSize):]
		if uint64(len(v)) < size {
			v = w.buf(depth + 1)
			if err := w.read(v[:size], n.id, at); err != nil {
				return err
			}
		}
		v = v[:size]
		root := le.Uint64(v)
		if root != 0 {
			if size != bucketLen {
				return corruptf("page %d has a bucket of %d bytes", n.id, size)
			}
			if err := w.tree(root, w.level+1, depth+1); err != nil {
				return err
			}
			continue
		}
		if err := inlinePage(n.id, v[bucketLen:]); err != nil {
			return err
		}
	}
	return nil
}

// inlinePage checks the page of a bucket that is so small that it stands in the bucket's own value.
func inlinePage(of uint64, b []byte) error {
	le := binary.LittleEndian
	if len(b) < pageHeader || le.Uint64(b) != 0 || le.Uint16(b[8:]) != leafPage || le.Uint32(b[12:]) != 0 {
		return corruptf("page %d has a damaged bucket in it", of)
	}
	n := nodePage{id: of, b: b, leaf: true, count: int(le.Uint16(b[10:]))}
	end, err := n.layout(uint64(len(b)))
	if err != nil {
		return err
	}
	for i := range n.count {
		if le.Uint32(n.element(i)) != 0 {
			return corruptf("page %d has a bucket where there can be none", of)
		}
	}
	if end != uint64(len(b)) {
		return corruptf("page %d has a damaged bucket in it", of)
	}
	return n.order(nil, nil)
}

// nodePage is a page of a tree, of which b is the beginning.
type nodePage struct {
	w     *pageWalk
	id    uint64
	b     []byte
	leaf  bool
	count int
}

func (n *nodePage) element(i int) []byte { return n.b[pageHeader+i*elementLen:][:elementLen] }

// sizes gives what an element says of where its key is, counted from the element, and of how long key and value are.
func (n *nodePage) sizes(i int) (pos, key, value uint64) {
	le, e := binary.LittleEndian, n.element(i)
	if n.leaf {
		return uint64(le.Uint32(e[4:])), uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:]))
	}
	return uint64(le.Uint32(e)), uint64(le.Uint32(e[4:])), 0
}

// at is where the key of an element begins in the page.
func (n *nodePage) at(i int) uint64 {
	pos, _, _ := n.sizes(i)
	return pageHeader + uint64(i)*elementLen + pos
}

// layout checks that keys and values follow the elements, and each other, without gaps, and gives their end. A page with more elements than fit
// into one is always split.
func (n *nodePage) layout(limit uint64) (end uint64, err error) {
	end = pageHeader + uint64(n.count)*elementLen
	if end > uint64(len(n.b)) {
		return 0, corruptf("page %d says that it has %d elements", n.id, n.count)
	}
	_, keys, _ := n.firstSizes()
	for i := range n.count {
		_, key, value := n.sizes(i)
		if n.at(i) != end || key == 0 || key > maxKey || !n.leaf && key != keys || n.leaf && binary.LittleEndian.Uint32(n.element(i)) > 1 {
			return 0, corruptf("page %d has a damaged element", n.id)
		}
		if end += key + value; end > limit {
			return 0, corruptf("page %d has an element beyond its end", n.id)
		}
	}
	return end, nil
}

// firstSizes is sizes of the first element. The keys of a branch page are of one length, since only buckets of such keys grow beyond a page.
func (n *nodePage) firstSizes() (pos, key, value uint64) {
	if n.count == 0 {
		return 0, 0, 0
	}
	return n.sizes(0)
}

// key gives an element's key. Values may have pushed it beyond the first page.
func (n *nodePage) key(i int) ([]byte, error) {
	_, size, _ := n.sizes(i)
	at := n.at(i)
	if at+size <= uint64(len(n.b)) {
		return n.b[at : at+size], nil
	}
	k := make([]byte, size)
	return k, n.w.read(k, n.id, at)
}

// order checks that keys ascend, and are within what the page above says.
func (n *nodePage) order(lo, hi []byte) error {
	for i := range n.count {
		k, err := n.key(i)
		if err != nil {
			return err
		}
		if i == 0 && string(k) < string(lo) || i > 0 && string(k) <= string(lo) || hi != nil && string(k) >= string(hi) {
			return corruptf("page %d has a key in the wrong place", n.id)
		}
		lo = k
	}
	return nil
}
