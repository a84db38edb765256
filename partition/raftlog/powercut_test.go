package raftlog

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// The disk of a power cut. A recorder notes every write bbolt makes, every sync it makes (two a commit, unless NoSync),
// and every change of a folder. A cut after any of these events keeps all that was synced and, of the rest, any subset:
// sectors of 512 bytes of unsynced writes, and a prefix of the unsynced changes of each folder.

const sector = 512

type diskEvent struct {
	kind string // write, size, sync, create, rename, remove, removeall, mkdir, syncdir, mark
	path string
	to   string
	off  int64
	data []byte
	mark int
}

type recorder struct {
	root   string
	noSync bool
	skip   func(path string) bool // commits that are acknowledged without being made: a seeded bug

	mu     sync.Mutex
	events []diskEvent
}

func (r *recorder) add(e diskEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// mark notes that operation n was acknowledged.
func (r *recorder) mark(n int) { r.add(diskEvent{kind: "mark", mark: n}) }

func (r *recorder) rel(path string) string {
	rel, err := filepath.Rel(r.root, path)
	if err != nil {
		panic(err)
	}
	return rel
}

func (r *recorder) hooks() Hooks {
	return Hooks{
		NoSync: r.noSync,
		Opened: r.opened,
		FS: func(op FSOp) error {
			to := ""
			if op.To != "" {
				to = r.rel(op.To)
			}
			r.add(diskEvent{kind: op.Kind, path: r.rel(op.Path), to: to})
			return nil
		},
		Commit: func(path string, commit func() error) error {
			if r.skip != nil && r.skip(path) {
				return nil
			}
			err := commit()
			if err == nil && !r.noSync {
				r.add(diskEvent{kind: "sync", path: r.rel(path)})
			}
			return err
		},
	}
}

// opened reaches into bbolt for its one way of writing. The file as it is now was synced by bbolt or by an earlier
// commit, which the recorder saw.
func (r *recorder) opened(path string, db *bolt.DB) {
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
		r.add(diskEvent{kind: "create", path: name, data: b})
	}
	file := name
	r.mu.Lock()
	since := len(r.events)
	r.mu.Unlock()
	*writeAt = func(b []byte, off int64) (int, error) {
		name := r.current(file, since)
		if off < 2*boltPageSize && !r.noSync {
			r.add(diskEvent{kind: "sync", path: name}) // the data's fdatasync comes right before the meta page
		}
		if fi, err := os.Stat(filepath.Join(r.root, name)); err == nil {
			r.add(diskEvent{kind: "size", path: name, off: fi.Size()}) // bbolt syncs each growth
		}
		r.add(diskEvent{kind: "write", path: name, off: off, data: append([]byte(nil), b...)})
		return orig(b, off)
	}
}

// current follows the rename of a file that has been open since an event.
func (r *recorder) current(name string, since int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events[since:] {
		if e.kind == "rename" && e.path == name {
			return e.to
		}
	}
	return name
}

// inode is a file's content, by pages.
type inode struct {
	size    int64
	pages   map[int64][]byte
	pending []diskEvent // not synced
}

func newInode(b []byte) *inode {
	n := &inode{pages: map[int64][]byte{}}
	n.apply(diskEvent{data: b}, always)
	return n
}

func always() bool { return true }

// apply writes the sectors that keep says into fresh pages, so that a clone is not touched.
func (n *inode) apply(e diskEvent, keep func() bool) {
	for at := int64(0); at < int64(len(e.data)); at += sector {
		if !keep() {
			continue
		}
		off := e.off + at
		no := off / boltPageSize
		page := make([]byte, boltPageSize)
		copy(page, n.pages[no])
		m := copy(page[off%boltPageSize:], e.data[at:min(int64(len(e.data)), at+sector)])
		n.pages[no] = page
		n.size = max(n.size, off+int64(m))
	}
}

func (n *inode) flush() {
	for _, w := range n.pending {
		n.apply(w, always)
	}
	n.pending = nil
}

// cutMode says how much of what was not synced reaches the disk.
type cutMode int

const (
	cutNothing cutMode = iota // unsynced data is lost
	cutAll                    // all of it made it
	cutRandom                 // any subset
	numCutModes
)

// names is what folders hold: files and, with a nil inode, folders.
type names map[string]*inode

func (d names) apply(op dirOp) {
	switch op.kind {
	case "create", "mkdir":
		d[op.path] = op.ino
	case "rename":
		delete(d, op.path)
		d[op.to] = op.ino
	case "remove":
		delete(d, op.path)
	case "removeall":
		for p := range d {
			if p == op.path || strings.HasPrefix(p, op.path+"/") {
				delete(d, p)
			}
		}
	}
}

type dirOp struct {
	diskEvent
	ino *inode
}

// platter is the disk as of some event.
type platter struct {
	live    names              // as running processes see it
	durable names              // names that survive a cut for sure
	dirOps  map[string][]dirOp // unsynced, by folder
	acked   int
}

func newPlatter() *platter {
	return &platter{live: names{}, durable: names{}, dirOps: map[string][]dirOp{}}
}

func (p *platter) step(e diskEvent) {
	switch e.kind {
	case "mark":
		p.acked = e.mark
	case "size":
		p.live[e.path].size = max(p.live[e.path].size, e.off)
	case "write":
		p.live[e.path].pending = append(p.live[e.path].pending, e)
	case "sync":
		p.live[e.path].flush()
	case "syncdir":
		for _, op := range p.dirOps[e.path] {
			p.durable.apply(op)
		}
		delete(p.dirOps, e.path)
	default:
		if _, there := p.live[e.path]; !there && e.kind == "removeall" {
			return // nothing to remove; as a late change it would take what was made since
		}
		op := dirOp{diskEvent: e, ino: p.live[e.path]}
		if e.kind == "create" {
			op.ino = newInode(e.data)
		}
		p.live.apply(op)
		folder := filepath.Dir(e.path)
		p.dirOps[folder] = append(p.dirOps[folder], op)
	}
}

// cut writes the folder as a power cut leaves it.
func (p *platter) cut(t *testing.T, mode cutMode, rnd *rand.Rand, dir string) {
	t.Helper()
	keep := func() bool { return mode == cutAll || mode == cutRandom && rnd.Uint64()&1 == 0 }
	left := maps.Clone(p.durable)
	for _, folder := range slices.Sorted(maps.Keys(p.dirOps)) {
		ops := p.dirOps[folder]
		switch mode {
		case cutNothing:
			ops = nil
		case cutRandom:
			ops = ops[:rnd.IntN(len(ops)+1)]
		}
		for _, op := range ops {
			left.apply(op)
		}
	}
	must(t, os.MkdirAll(filepath.Join(dir, "replicas"), 0o750))
	for _, name := range slices.Sorted(maps.Keys(left)) {
		ino := left[name]
		parent := filepath.Dir(name)
		if _, there := left[parent]; !there && parent != "." && parent != "replicas" {
			continue // its folder is not on disk
		}
		path := filepath.Join(dir, name)
		if ino == nil {
			must(t, os.MkdirAll(path, 0o750))
			continue
		}
		content := inode{size: ino.size, pages: maps.Clone(ino.pages)}
		for _, w := range ino.pending {
			content.apply(w, keep)
		}
		content.writeTo(t, path)
	}
}

func (n *inode) writeTo(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	must(t, f.Truncate(n.size))
	for no, page := range n.pages {
		_, err := f.WriteAt(page, no*boltPageSize)
		must(t, err)
	}
	must(t, f.Close())
}
