package raftlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// Hooks is the seam by which tests break the disk or watch it. The zero value changes nothing. Hooks are called from
// many goroutines.
type Hooks struct {
	// Commit stands round each bbolt commit. Returning an error without calling commit is a failed data sync; returning
	// an error after it is a failed meta sync, which leaves the data visible (RELIABILITY E1).
	Commit func(path string, commit func() error) error
	// Opened is called after a bbolt file was opened or made, before its first transaction.
	Opened func(path string, db *bolt.DB)
	// Open is called before a bbolt file, or a folder for its sync, is opened; an error is what opening it then answers.
	Open func(path string) error
	// FS is called before each change of a folder; an error makes the change fail.
	FS func(op FSOp) error
	// File is called before each change of a file that does not go through bbolt; an error makes the change fail.
	File func(op FileOp) error
	// Free tells how many bytes are free on the disk of a folder; nil = ask the system.
	Free func(dir string) (int64, error)
	// Room is called before it is seen to that a file has blocks for so many bytes from its start; an error is the answer then.
	// With it, every disk counts as one that may be full soon.
	Room func(path string, bytes int64) error
	// NoSync switches every bbolt sync off. It exists to prove that the crash tests notice.
	NoSync bool
}

// FSOp is one change of a folder as Hooks.FS sees it.
type FSOp struct {
	Kind string // "mkdir", "rename", "remove", "removeall", "syncdir"
	Path string
	To   string // rename only
}

// FileOp is one change of a plain file as Hooks.File sees it.
type FileOp struct {
	Kind string // "create", "write", "sync"
	Path string
	Off  int64  // write only
	Data []byte // write only
}

// disk does the folder operations, through the hooks.
type disk struct{ h Hooks }

func (d disk) do(op FSOp, f func() error) error {
	if d.h.FS != nil {
		if err := d.h.FS(op); err != nil {
			return fmt.Errorf("%s %s: %w", op.Kind, op.Path, err)
		}
	}
	return f()
}

func (d disk) mkdir(path string) error {
	return d.do(FSOp{Kind: "mkdir", Path: path}, func() error {
		err := os.Mkdir(path, 0o750)
		if errors.Is(err, os.ErrExist) {
			return nil
		}
		return err
	})
}

func (d disk) rename(from, to string) error {
	return d.do(FSOp{Kind: "rename", Path: from, To: to}, func() error { return os.Rename(from, to) })
}

func (d disk) remove(path string) error {
	return d.do(FSOp{Kind: "remove", Path: path}, func() error {
		err := os.Remove(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
}

func (d disk) removeAll(path string) error {
	return d.do(FSOp{Kind: "removeall", Path: path}, func() error { return os.RemoveAll(path) })
}

// opening runs the hook of Hooks.Open.
func (h Hooks) opening(path string) error {
	if h.Open == nil {
		return nil
	}
	return h.Open(path)
}

// folder is a folder opened for syncing. It is opened before anything in it changes: then want of descriptors stops a change
// that has not begun, rather than leave one in doubt.
type folder struct {
	d    disk
	path string
	f    *os.File // nil with Hooks.NoSync
}

func (d disk) openDir(path string) (*folder, error) {
	if d.h.NoSync {
		return &folder{d: d, path: path}, nil
	}
	err := d.h.opening(path)
	var f *os.File
	if err == nil {
		f, err = os.Open(filepath.Clean(path))
	}
	if err != nil {
		return nil, opening(fmt.Errorf("open folder %s: %w", path, err))
	}
	return &folder{d: d, path: path, f: f}, nil
}

// sync makes the names in the folder durable (RELIABILITY E4: bbolt never does).
func (n *folder) sync() error {
	if n.f == nil {
		return nil
	}
	return n.d.do(FSOp{Kind: "syncdir", Path: n.path}, func() error {
		if err := n.f.Sync(); err != nil {
			return fmt.Errorf("sync folder %s: %w", n.path, err)
		}
		return nil
	})
}

func (n *folder) close() {
	if n.f != nil {
		_ = n.f.Close() // nothing was written through it
	}
}

// syncDir opens, syncs and closes a folder, where no write depends on the answer.
func (d disk) syncDir(path string) error {
	n, err := d.openDir(path)
	if err != nil {
		return err
	}
	defer n.close()
	return n.sync()
}

func (d disk) commit(path string, tx *bolt.Tx) error {
	if d.h.Commit == nil {
		return asSyncFailure(tx.Commit())
	}
	ran := false
	err := d.h.Commit(path, func() error { ran = true; return tx.Commit() })
	if !ran {
		if rerr := tx.Rollback(); rerr != nil && err == nil {
			err = rerr
		}
		return err
	}
	return asSyncFailure(err)
}

// asSyncFailure tells a full disk of a sync from that of a write, which has the file's path: bbolt's fdatasync gives the bare number. A file system
// that finds its blocks only then (thin volumes, copy on write) may have lost what was written before, the meta page among it, and its pages
// in memory count as clean. So that is a disk that failed (E1).
func asSyncFailure(err error) error {
	var p *fs.PathError
	if noSpace(err) && !errors.As(err, &p) {
		return fmt.Errorf("the sync failed: %v", err) //nolint:errorlint // no full disk to whoever asks
	}
	return err
}
