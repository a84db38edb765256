package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Cached tells how much of some files is in the page cache.
type Cached struct{ Bytes, Resident int64 }

// Evict syncs every file below dir, asks the kernel to forget its pages, and answers what is cached all the same: pages that
// another process has mapped, or that are under way to the disk, stay. Nothing below dir may be in use.
func Evict(dir string) (Cached, error) { return walk(dir, evict) }

// Look answers what is cached of the files below dir.
func Look(dir string) (Cached, error) { return walk(dir, resident) }

// Read reads every file below dir from end to end, one after another, and answers MB/s: what the disk gives a single reader
// when nothing is cached.
func Read(dir string) (mbPerSecond float64, err error) {
	buf := make([]byte, 1<<20)
	began := time.Now()
	all, err := walk(dir, func(f *os.File, _ int64) (int64, error) {
		// The wrapper hides ReadFrom: the bytes are to come into this process.
		return io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, buf)
	})
	if err != nil {
		return 0, err
	}
	return float64(all.Bytes) / time.Since(began).Seconds() / 1e6, nil
}

func walk(dir string, f func(*os.File, int64) (int64, error)) (all Cached, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() == 0 {
			return err
		}
		n, err := open(path, info.Size(), f)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		all.Bytes += info.Size()
		all.Resident += n
		return nil
	})
	return all, err
}

func open(path string, size int64, f func(*os.File, int64) (int64, error)) (n int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return f(file, size)
}

func evict(f *os.File, size int64) (int64, error) {
	fd := int(f.Fd())
	if err := unix.Fdatasync(fd); err != nil { // pages that are not on disk yet cannot be forgotten
		return 0, err
	}
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
		return 0, err
	}
	return resident(f, size)
}

// resident counts a file's cached bytes by mincore, which tells the truth only to those who may write to the file.
func resident(f *os.File, size int64) (n int64, err error) {
	mem, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unix.Munmap(mem)) }()
	page := os.Getpagesize()
	pages := make([]byte, (len(mem)+page-1)/page)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		return 0, fmt.Errorf("mincore: %w", errno)
	}
	for i, p := range pages {
		if p&1 != 0 {
			n += min(int64(page), size-int64(i)*int64(page))
		}
	}
	return n, nil
}
