package raftlog

import (
	"unsafe"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	// aheadNow is read before a reader goes on, aheadSoon in the background behind it.
	aheadNow  = 1 << 20
	aheadSoon = 3 << 20
	// aheadLeast is the size of a file from which on it is worth it.
	aheadLeast = aheadNow
)

// readAhead reads on where one reader takes the entries of an unsealed file one after the other. Such a file is mapped with
// MADV_RANDOM, as bbolt wants it: the kernel's own read-ahead, which may be many megabytes, would be paid by each of the few pages that
// opening a file touches. Without any, a cold file gives 70 MB/s, and each page fault keeps a processor while it waits.
// Entries lie in the file about in their order, so the place of one tells where the next ones are.
type readAhead struct {
	last     int64 // where the entry before was, as an offset in the file; 0 if there was none
	from, to int64 // what was asked for last
}

// touch is told of a part of an entry in the map, inside its transaction.
func (a *readAhead) touch(tx *bolt.Tx, part []byte) {
	if len(part) == 0 {
		return
	}
	base := tx.DB().Info().Data
	off := int64(uintptr(unsafe.Pointer(unsafe.SliceData(part))) - base)
	if off >= a.from && off < a.to {
		a.last = off
		return
	}
	follows := a.last != 0 && off > a.last-aheadNow && off < a.last+aheadNow
	a.last = off
	end := tx.Size()
	// A single entry is no reason to read on, and sealed files have the kernel's read-ahead.
	if !follows || off < 0 || off >= end || end < aheadLeast || tx.DB().IsReadOnly() {
		return
	}
	a.from = off &^ (boltPageSize - 1)
	a.to = min(a.from+aheadNow, end)
	// Only advice: an error costs speed, and the reader meets what is wrong with a page itself. Populating waits in a system
	// call, which gives the processor away as a page fault does not; kernels before 5.14 do not know it.
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, base+uintptr(a.from), uintptr(a.to-a.from), unix.MADV_POPULATE_READ)
	soon := a.to
	if errno != 0 {
		soon = a.from
	}
	if last := min(a.to+aheadSoon, end); last > soon {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, base+uintptr(soon), uintptr(last-soon), unix.MADV_WILLNEED)
	}
}
