package raftlog

import (
	"sync/atomic"
	"unsafe"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	// aheadNow is read before a reader goes on, aheadSoon in the background behind it.
	aheadNow  = 1 << 20
	aheadSoon = 3 << 20
)

// readAhead reads on where the entries of a file being written are read one after the other. Such a file is mapped with
// MADV_RANDOM, as bbolt wants it: the kernel's own read-ahead, which may be many megabytes, would be paid by each of the few pages that
// opening a file touches. Without any, a cold file gives 70 MB/s, and each page fault keeps a processor while it waits.
// Entries lie in the file about in their order, so the place of one tells where the next ones are.
type readAhead struct {
	from, to atomic.Int64 // what was asked for last, as offsets in the file
}

// touch is told of a part of an entry in the map, inside its transaction.
func (a *readAhead) touch(tx *bolt.Tx, part []byte) {
	if len(part) == 0 {
		return
	}
	base := tx.DB().Info().Data
	off := int64(uintptr(unsafe.Pointer(unsafe.SliceData(part))) - base)
	if off >= a.from.Load() && off < a.to.Load() {
		return
	}
	end := tx.Size()
	if off < 0 || off >= end {
		return // not in the map
	}
	start := off &^ (boltPageSize - 1)
	mid := min(start+aheadNow, end)
	a.from.Store(start)
	a.to.Store(mid)
	// Only advice: an error costs speed, and the reader meets what is wrong with a page itself. Populating waits in a system
	// call, which gives the processor away as a page fault does not; kernels before 5.14 do not know it.
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, base+uintptr(start), uintptr(mid-start), unix.MADV_POPULATE_READ)
	soon := mid
	if errno != 0 {
		soon = start
	}
	if last := min(mid+aheadSoon, end); last > soon {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, base+uintptr(soon), uintptr(last-soon), unix.MADV_WILLNEED)
	}
}
