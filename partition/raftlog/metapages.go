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
	metaPageHeader = 16 // bbolt's page header, before the meta
	metaLen        = 64 // magic u32, version u32, page size u32, flags u32, root 2 u64, freelist u64, high-water mark u64, transaction u64, sum u64
	metaMagic      = 0xED0CDAED
	metaVersion    = 2
	freelistPage   = 0x10 // flag of the page that lists the free ones
)

// checkMetaPages tells what is wrong with a file's meta pages. The file's size is looked at first: bbolt would initialise an empty one.
func checkMetaPages(path string) error {
	f, err := os.Open(filepath.Clean(path))
	if errors.Is(err, os.ErrNotExist) {
		return corruptf("file %s is missing", path)
	}
	if err != nil {
		return opening(err)
	}
	err = checkMetaPagesOf(f, path)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func checkMetaPagesOf(f *os.File, path string) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() < 4*boltPageSize {
		return corruptf("file %s has %d bytes, too few for a segment", path, st.Size())
	}
	var b [metaLen]byte
	le := binary.LittleEndian
	var newest, freelist, high uint64
	for page := range int64(2) {
		if _, err := f.ReadAt(b[:], page*boltPageSize+metaPageHeader); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the meta pages of %s: %w", path, err)
		}
		h := fnv.New64a()
		h.Write(b[:metaLen-8]) // never fails
		if le.Uint32(b[:]) != metaMagic || le.Uint32(b[4:]) != metaVersion || le.Uint64(b[metaLen-8:]) != h.Sum64() {
			return corruptf("file %s: meta page %d is damaged, and with it perhaps what was written last", path, page)
		}
		if txid := le.Uint64(b[48:]); txid >= newest {
			newest, freelist, high = txid, le.Uint64(b[32:]), le.Uint64(b[40:])
		}
	}
	// Each commit frees the page that lists the free ones, and bbolt believes how many it says it is: a wrong bit there costs gigabytes.
	head := b[:metaPageHeader]
	if _, err := f.ReadAt(head, int64(freelist)*boltPageSize); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the list of free pages of %s: %w", path, err)
	}
	if le.Uint64(head) != freelist || le.Uint16(head[8:]) != freelistPage || freelist+uint64(le.Uint32(head[12:])) >= high {
		return corruptf("file %s: the list of free pages is damaged", path)
	}
	return nil
}
