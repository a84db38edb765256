package powercut

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

const (
	sector    = 512  // what a disk writes whole
	pageSize  = 4096 // bbolt's, as raftlog sets it
	tmpSuffix = ".tmp"
)

// Event is one thing that happened to the disk.
type Event struct {
	Kind string // write, size, sync, create, rename, remove, removeall, mkdir, syncdir, mark
	Path string
	to   string
	off  int64
	data []byte
	mark int
}

// Recorder notes what a store does to the disk. Its methods and NoSync go into raftlog.Hooks; it does not import raftlog, whose tests use it. One
// Recorder serves one store at a time.
type Recorder struct {
	Root   string                 // the store's folder
	NoSync bool                   // no syncs are made: to see that a test notices
	Skip   func(path string) bool // commits that are acknowledged without being made: a seeded bug

	mu     sync.Mutex
	events []Event
}

func (r *Recorder) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Mark notes that operation n was acknowledged.
func (r *Recorder) Mark(n int) { r.add(Event{Kind: "mark", mark: n}) }

func (r *Recorder) rel(path string) string {
	rel, err := filepath.Rel(r.Root, path)
	if err != nil {
		panic(err)
	}
	return rel
}

// FS is raftlog's Hooks.FS.
func (r *Recorder) FS(kind, path, to string) error {
	if to != "" {
		to = r.rel(to)
	}
	r.add(Event{Kind: kind, Path: r.rel(path), to: to})
	return nil
}

// File is raftlog's Hooks.File.
func (r *Recorder) File(kind, path string, off int64, data []byte) error {
	if kind == "sync" && r.NoSync {
		return nil
	}
	r.add(Event{Kind: kind, Path: r.rel(path), off: off, data: append([]byte(nil), data...)})
	return nil
}

// Commit is raftlog's Hooks.Commit.
func (r *Recorder) Commit(path string, commit func() error) error {
	if r.Skip != nil && r.Skip(path) {
		return nil
	}
	err := commit()
	if err == nil && !r.NoSync {
		r.add(Event{Kind: "sync", Path: r.rel(path)})
	}
	return err
}

// Opened is raftlog's Hooks.Opened. It reaches into bbolt for its one way of writing. The file as it is now was synced by bbolt or by an earlier
// commit, which the Recorder saw.
func (r *Recorder) Opened(path string, db *bolt.DB) {
	if db.IsReadOnly() {
		return
	}
	field := reflect.ValueOf(db).Elem().FieldByName("ops").FieldByName("writeAt")
	writeAt := (*func(b []byte, off int64) (int, error))(unsafe.Pointer(field.UnsafeAddr()))
	orig := *writeAt
	name := r.rel(path)
	if strings.HasSuffix(path, tmpSuffix) {
		b, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		r.add(Event{Kind: "create", Path: name, data: b})
	}
	file := name
	r.mu.Lock()
	since := len(r.events)
	r.mu.Unlock()
	*writeAt = func(b []byte, off int64) (int, error) {
		name := r.current(file, since)
		if off < 2*pageSize && !r.NoSync {
			r.add(Event{Kind: "sync", Path: name}) // the data's fdatasync comes right before the meta page
		}
		if fi, err := os.Stat(filepath.Join(r.Root, name)); err == nil {
			r.add(Event{Kind: "size", Path: name, off: fi.Size()}) // bbolt syncs each growth
		}
		r.add(Event{Kind: "write", Path: name, off: off, data: append([]byte(nil), b...)})
		return orig(b, off)
	}
}

// current follows the rename of a file that has been open since an event.
func (r *Recorder) current(name string, since int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events[since:] {
		if e.Kind == "rename" && e.Path == name {
			return e.to
		}
	}
	return name
}

// Events is what happened so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[:len(r.events):len(r.events)]
}
