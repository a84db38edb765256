package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/runnel-io/runnel/bench/crash/disk"
)

// What a flipped bit may do depends on whose byte it is. A layout says that of a bbolt file, by its bytes alone: it shares no code with the
// store, nor with bbolt.
//
//	read     it holds what is answered, or leads there: entries, headers, states, keys, pages' numbers. A flip must be noticed.
//	steering it is bbolt's own, and a wrong one need not change an answer: the list of free pages, the key of a branch (a search comes to
//	         the right leaf by most of the wrong ones), a flag that means nothing, the length of a page in which only entries are.
//	         A flip is noticed, or no answer is another one.
//	unused   nobody looks: a free page, the rest of a page behind what is in it, the header of a meta page, a file that no log has.
//	         A flip changes nothing.
type duty int

const (
	unused duty = iota
	steering
	read
)

// span is a run of bytes of one meaning.
type span struct {
	from, to int64
	what     string
	duty     duty
}

// layout is what the bytes of a file are, in order; what no span covers is unused.
type layout struct{ spans []span }

// at tells what a byte is.
func (l *layout) at(off int64) span {
	if l != nil {
		i := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].to > off })
		if i < len(l.spans) && l.spans[i].from <= off {
			return l.spans[i]
		}
	}
	return span{from: off, to: off + 1, what: "unused"}
}

// of are the spans with a duty, by what they are.
func (l *layout) of(d duty) map[string][]span {
	out := map[string][]span{}
	for _, s := range l.spans {
		if s.duty == d {
			out[s.what] = append(out[s.what], s)
		}
	}
	return out
}

// mapper makes a layout. The store walks over all pages of meta.db, of a segment over those of its small buckets and over the pages above
// the entries (partition/raftlog/README.md); what it does not walk over is believed where nothing depends on it.
type mapper struct {
	img    *disk.Image
	file   string
	meta   bool // it is meta.db
	newest bool // segment of its log: nobody reads the checkpoint of an older one
	spans  []span
	err    error
}

func layoutOf(img *disk.Image, file string, meta, newest bool) (*layout, error) {
	m := &mapper{img: img, file: file, meta: meta, newest: newest}
	var txid, root, free uint64
	for page := range int64(2) {
		at := page*boltPage + 16
		m.add(at, 64, "meta page", read)
		if id := m.u64(at + 48); id >= txid {
			txid, root, free = id, m.u64(at+16), m.u64(at+32)
		}
	}
	at := int64(free) * boltPage
	m.add(at, 16+8*int64(m.u16(at+10)), "list of free pages", steering)
	m.page(int64(root)*boltPage, 0, "", false)
	if m.err != nil {
		return nil, fmt.Errorf("%s: %w", file, m.err)
	}
	slices.SortFunc(m.spans, func(a, b span) int { return int(a.from - b.from) })
	for i := 1; i < len(m.spans); i++ {
		if m.spans[i].from < m.spans[i-1].to {
			return nil, fmt.Errorf("%s: byte %d is both %s and %s", file, m.spans[i].from, m.spans[i-1].what, m.spans[i].what)
		}
	}
	return &layout{m.spans}, nil
}

func (m *mapper) add(at, n int64, what string, d duty) {
	if n > 0 {
		m.spans = append(m.spans, span{at, at + n, what, d})
	}
}

// either is read if it is, and steering if not.
func either(is bool) duty {
	if is {
		return read
	}
	return steering
}

func (m *mapper) bytes(at, n int64) []byte {
	out := make([]byte, 0, n)
	for n > 0 {
		page := m.img.Page(m.file, at/boltPage)[at%boltPage:]
		page = page[:min(n, int64(len(page)))]
		out = append(out, page...)
		at, n = at+int64(len(page)), n-int64(len(page))
	}
	return out
}

func (m *mapper) u16(at int64) uint16 { return binary.LittleEndian.Uint16(m.bytes(at, 2)) }
func (m *mapper) u32(at int64) int64  { return int64(binary.LittleEndian.Uint32(m.bytes(at, 4))) }
func (m *mapper) u64(at int64) uint64 { return binary.LittleEndian.Uint64(m.bytes(at, 8)) }

// page maps a page at a byte, with all below it. bucket is the name of the bucket it is of, level how deep that is nested: the root's pages 0,
// an entry's own 2. An inline one is a small bucket's, within its value.
func (m *mapper) page(at int64, level int, bucket string, inline bool) {
	kind, count := m.u16(at+8), int64(m.u16(at+10))
	if m.err != nil || kind != 1 && kind != 2 || at >= m.img.Size(m.file) {
		m.err = fmt.Errorf("there is no page at byte %d", at)
		return
	}
	is := m.isRead(bucket)
	walked := is && (level == 0 || m.meta || inline)
	m.add(at, 10, "number and kind of a page", either(is))
	m.add(at+10, 2, "count of elements", either(is && level < 2)) // an entry's two are found by their keys
	m.add(at+12, 4, "length of a page", either(walked))
	for i := range count {
		e := at + 16 + 16*i
		if kind == 1 {
			m.add(e, 8, "place and length of a key", either(is))
			m.add(e+8, 8, "page below", either(is))
			m.add(e+m.u32(e), m.u32(e+4), "key of a branch", steering)
			m.page(int64(m.u64(e+8))*boltPage, level, bucket, false)
			continue
		}
		m.element(e, level, bucket, walked, i == 0)
	}
}

// element maps an element of a leaf, its key and its value.
func (m *mapper) element(e int64, level int, bucket string, walked, first bool) {
	key := e + m.u32(e+4)
	value := key + m.u32(e+8)
	name := bucket
	if level == 0 {
		name = string(m.bytes(key, value-key))
	}
	is, size, isBucket := m.isRead(name), m.u32(e+12), m.u32(e)&1 != 0
	// Where no sum is found under its name, the store takes the file for one that was written before there were sums.
	sum := m.meta && string(m.bytes(key, value-key)) == "sum"
	m.add(e, 4, "flags of an element", either(is && walked && !sum))
	m.add(e+4, 8, "place and length of a key", either(is && !sum))
	// A header is read as far as it goes, whatever is said of its length; so is a bucket.
	m.add(e+12, 4, "length of a value", either(is && !sum && (walked || !isBucket && !(level == 2 && first))))
	m.add(key, value-key, "key", either(is && !sum))
	switch {
	case isBucket:
		root := m.u64(value)
		m.add(value, 8, "page of a bucket", either(is))
		m.add(value+8, 8, "sequence of a bucket", steering)
		if root == 0 {
			m.page(value+16, level+1, name, true)
		} else {
			m.page(int64(root)*boltPage, level+1, name, false)
		}
	case sum: // of another transaction it counts for nothing
		m.add(value, 8, "transaction of the sum", steering)
		m.add(value+8, size-8, "value", read)
	default:
		m.add(value, size, "value", either(is))
	}
}

func (m *mapper) isRead(bucket string) bool { return m.meta || m.newest || bucket != "k" }
