package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// rawFile is a file that is received as bytes, before bbolt may see it.
type rawFile struct {
	d    disk
	path string
	f    *os.File
}

// openRaw opens a segment's file for reading its bytes.
func (d disk) openRaw(path string) (*os.File, error) {
	if err := d.h.opening(path); err != nil {
		return nil, opening(fmt.Errorf("open %s: %w", path, err))
	}
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, opening(err)
	}
	return f, nil
}

func (d disk) file(op FileOp, f func() error) error {
	if d.h.File != nil {
		if err := d.h.File(op); err != nil {
			return fmt.Errorf("%s %s: %w", op.Kind, op.Path, err)
		}
	}
	return f()
}

// createRaw makes an empty file, in place of one that is there.
func (d disk) createRaw(path string) (*rawFile, error) {
	r := &rawFile{d: d, path: path}
	if err := d.h.opening(path); err != nil {
		return nil, opening(fmt.Errorf("open %s: %w", path, err))
	}
	err := d.file(FileOp{Kind: "create", Path: path}, func() (err error) {
		r.f, err = os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o640)
		return err
	})
	if err != nil {
		return nil, opening(err)
	}
	return r, nil
}

func (r *rawFile) writeAt(p []byte, off int64) error {
	err := r.d.file(FileOp{Kind: "write", Path: r.path, Off: off, Data: p}, func() error {
		_, err := r.f.WriteAt(p, off)
		return err
	})
	return describeIO(err)
}

func (r *rawFile) sync() error {
	if r.d.h.NoSync {
		return nil
	}
	return r.d.file(FileOp{Kind: "sync", Path: r.path}, func() error { return describeIO(r.f.Sync()) })
}

func (r *rawFile) close() error {
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f = nil
	return err
}

// free is how many bytes a folder's disk has left for this process.
func (d disk) free(dir string) (int64, error) {
	if d.h.Free != nil {
		return d.h.Free(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Free is how many bytes are free on the disk of the store's folder.
func (s *Store) Free() (int64, error) {
	free, err := s.disk.free(s.dir)
	if err == nil {
		s.noteFree(free)
	}
	return free, err
}

// SetReserve changes how many bytes installs leave free.
func (s *Store) SetReserve(bytes int64) { s.reserve.Store(bytes) }

// Total is the size of that disk in bytes.
func (s *Store) Total() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, fmt.Errorf("size of the disk of %s: %w", s.dir, err)
	}
	return int64(st.Blocks) * st.Bsize, nil //nolint:gosec // no disk has 2^63 bytes
}

// DamagedError says that what was received cannot be installed.
type DamagedError struct {
	What string // such as the segment's name
	// Transit says that the bytes that arrived are not those that were sent: they are to be received again. Otherwise they
	// are, and the source itself is damaged, or does not say what it has.
	Transit bool
	Problem error
}

func (e *DamagedError) Error() string {
	if e.Transit {
		return fmt.Sprintf("%s was damaged on its way: %v; it has to be received again", e.What, e.Problem)
	}
	return fmt.Sprintf("%s is damaged at its source: %v; install from another replica", e.What, e.Problem)
}

// Unwrap gives the problem.
func (e *DamagedError) Unwrap() error { return e.Problem }

// ErrReplicaExists is returned by Install for a replica that was created or installed here already: an id is installed once.
var ErrReplicaExists = errors.New("a replica of this id exists on this broker; an id is installed once")
