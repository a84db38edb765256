package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
)

// A bbolt file has two meta pages; a transaction writes the older one anew. If one of them is damaged, bbolt goes on with the other
// without a word. If that is the older one, the last transaction is gone, and so are a vote or entries that were acknowledged (I15, I1). A
// power cut is no excuse: what counts of a meta page fits into its first sector, which is written whole or not at all, and a file
// gets its name only once both pages are on disk. So both must be right.

const (
	metaPageHeader = pageHeader
	metaLen        = 64 // magic u32, version u32, page size u32, flags u32, root 2 u64, freelist u64, high-water mark u64, transaction u64, sum u64
	metaMagic      = 0xED0CDAED
	metaVersion    = 2
	freelistPage   = 0x10 // flag of the page that lists the free ones
)

// checkPages tells what is wrong with a file's meta pages, and with those pages that bbolt believes (pagewalk.go). Damage comes back as a
// corruptError, want of descriptors as a ResourceError. The file's size is looked at first: bbolt would initialise an empty one.
func checkPages(path string, scope walkScope) error {
	f, err := os.Open(filepath.Clean(path))
	if errors.Is(err, os.ErrNotExist) {
		return corruptf("file %s is missing", path)
	}
	if err != nil {
		return opening(err)
	}
	st, err := f.Stat()
	if err == nil {
		err = checkOpen(f, st.Size(), scope)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	switch {
	case isCorrupt(err):
		return corruptf("file %s: %v", path, err)
	case err != nil:
		return fmt.Errorf("check %s: %w", path, err)
	}
	return nil
}

// metaPage is what the meta page that counts says: where things are, and how many pages the file has.
type metaPage struct{ txid, root, freelist, high uint64 }

// checkOpen is checkPages of a file that is open.
func checkOpen(f io.ReaderAt, size int64, scope walkScope) error {
	m, err := readMetaPages(f, size)
	if err != nil {
		return err
	}
	return walkPages(f, scope, m.root, m.freelist, m.high)
}

func readMetaPages(f io.ReaderAt, size int64) (m metaPage, err error) {
	if size < 4*boltPageSize {
		return m, corruptf("%d bytes are too few for a segment", size)
	}
	var b [metaLen]byte
	le := binary.LittleEndian
	for page := range int64(2) {
		if _, err := f.ReadAt(b[:], page*boltPageSize+metaPageHeader); err != nil && !errors.Is(err, io.EOF) {
			return m, fmt.Errorf("read the meta pages: %w", err)
		}
		h := fnv.New64a()
		h.Write(b[:metaLen-8]) // never fails
		if le.Uint32(b[:]) != metaMagic || le.Uint32(b[4:]) != metaVersion || le.Uint64(b[metaLen-8:]) != h.Sum64() {
			return m, corruptf("meta page %d is damaged, and with it perhaps what was written last", page)
		}
		if txid := le.Uint64(b[48:]); txid >= m.txid {
			m = metaPage{txid: txid, root: le.Uint64(b[16:]), freelist: le.Uint64(b[32:]), high: le.Uint64(b[40:])}
		}
	}
	if m.high > uint64(size)/boltPageSize {
		return m, corruptf("it has %d bytes, and its meta page says %d pages", size, m.high)
	}
	return m, nil
}
