package raftlog

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// warmBytes is the most that a file may hold to be read whole before it is opened: after an unclean stop, when its entries are to be
	// folded, and after a clean one, when a checkpoint has left little to fold.
	warmBytes      = 16 << 20
	warmBytesClean = 1 << 20
	warmChunk      = 256 << 10
)

var warmBuffers = sync.Pool{New: func() any { return new([warmChunk]byte) }}

// warm reads a small file's data into the page cache. A page fault on a mapped file keeps its processor: with as many cold
// files being opened as there are processors nothing else runs, and a broker with a thousand partitions missed its heartbeats
// for twenty seconds after a crash. A read gives the processor away, and is one request instead of one for each page.
// After a clean stop the machine itself may have started anew.
//
// Errors are left to the reader of the map, who knows whether the page matters.
func warm(path string, most int64) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Blocks*512 > most {
		return
	}
	fd := int(f.Fd())
	buf := warmBuffers.Get().(*[warmChunk]byte)
	defer warmBuffers.Put(buf)
	for off := int64(0); ; {
		from, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if err != nil { // ENXIO: no more data
			return
		}
		to, err := unix.Seek(fd, from, unix.SEEK_HOLE)
		if err != nil || to <= from {
			return
		}
		for from < to {
			n, err := unix.Pread(fd, buf[:min(to-from, warmChunk)], from)
			if n <= 0 || err != nil {
				return
			}
			from += int64(n)
		}
		off = to
	}
}
