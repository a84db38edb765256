package powercut

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// inode is a file's content, by pages.
type inode struct {
	size    int64
	pages   map[int64][]byte
	pending []Event // not synced
}

func newInode(b []byte) *inode {
	n := &inode{pages: map[int64][]byte{}}
	n.apply(Event{data: b}, always)
	return n
}

func always() bool { return true }

// apply writes the sectors that keep says into fresh pages, so that a clone is not touched.
func (n *inode) apply(e Event, keep func() bool) {
	for at, n1 := int64(0), int64(0); at < int64(len(e.data)); at += n1 {
		off := e.off + at
		n1 = min(sector-off%sector, int64(len(e.data))-at) // a write need not begin where a sector does
		if !keep() {
			continue
		}
		no := off / pageSize
		page := make([]byte, pageSize)
		copy(page, n.pages[no])
		copy(page[off%pageSize:], e.data[at:at+n1])
		n.pages[no] = page
		n.size = max(n.size, off+n1)
	}
}

func (n *inode) flush() {
	for _, w := range n.pending {
		n.apply(w, always)
	}
	n.pending = nil
}

// Mode says how much of what was not synced reaches the disk.
type Mode int

// The modes, and how many there are.
const (
	Nothing Mode = iota // unsynced data is lost
	All                 // all of it made it
	Random              // any subset
	NumModes
)

// names is what folders hold: files and, with a nil inode, folders.
type names map[string]*inode

func (d names) apply(op dirOp) {
	switch op.Kind {
	case "create", "mkdir":
		d[op.Path] = op.ino
	case "rename":
		delete(d, op.Path)
		d[op.to] = op.ino
		for p, ino := range maps.Clone(d) { // what is in a folder goes with it
			if inside, ok := strings.CutPrefix(p, op.Path+"/"); ok {
				delete(d, p)
				d[op.to+"/"+inside] = ino
			}
		}
	case "remove":
		delete(d, op.Path)
	case "removeall":
		for p := range d {
			if p == op.Path || strings.HasPrefix(p, op.Path+"/") {
				delete(d, p)
			}
		}
	}
}

type dirOp struct {
	Event
	ino *inode
}

// Disk is the disk as of some event.
type Disk struct {
	live    names              // as running processes see it
	durable names              // names that survive a cut for sure
	dirOps  map[string][]dirOp // unsynced, by folder
	Acked   int                // the newest mark
}

// NewDisk is an empty disk.
func NewDisk() *Disk {
	return &Disk{live: names{}, durable: names{}, dirOps: map[string][]dirOp{}}
}

// Step takes the next event.
func (p *Disk) Step(e Event) {
	switch e.Kind {
	case "mark":
		p.Acked = e.mark
	case "size":
		p.live[e.Path].size = max(p.live[e.Path].size, e.off)
	case "write":
		p.live[e.Path].pending = append(p.live[e.Path].pending, e)
	case "sync":
		p.live[e.Path].flush()
	case "syncdir":
		for _, op := range p.dirOps[e.Path] {
			p.durable.apply(op)
		}
		delete(p.dirOps, e.Path)
	default:
		if _, there := p.live[e.Path]; !there && e.Kind == "removeall" {
			return // nothing to remove; as a late change it would take what was made since
		}
		op := dirOp{Event: e, ino: p.live[e.Path]}
		if e.Kind == "create" {
			op.ino = newInode(e.data)
		}
		p.live.apply(op)
		if e.Kind == "rename" && op.ino == nil {
			p.moveOps(e.Path, e.to)
		}
		folder := filepath.Dir(e.Path)
		p.dirOps[folder] = append(p.dirOps[folder], op)
	}
}

// moveOps has the unsynced changes of a folder follow its new name.
func (p *Disk) moveOps(from, to string) {
	ops, ok := p.dirOps[from]
	if !ok {
		return
	}
	delete(p.dirOps, from)
	for i := range ops {
		ops[i].Path = strings.Replace(ops[i].Path, from, to, 1)
		ops[i].to = strings.Replace(ops[i].to, from, to, 1)
	}
	p.dirOps[to] = ops
}

// Cut writes the store's folder as a power cut leaves it into dir. rnd is used by Random only.
func (p *Disk) Cut(mode Mode, rnd *rand.Rand, dir string) error {
	keep := func() bool { return mode == All || mode == Random && rnd.Uint64()&1 == 0 }
	left := maps.Clone(p.durable)
	for _, folder := range slices.Sorted(maps.Keys(p.dirOps)) {
		ops := p.dirOps[folder]
		switch mode {
		case Nothing:
			ops = nil
		case Random:
			ops = ops[:rnd.IntN(len(ops)+1)]
		}
		for _, op := range ops {
			left.apply(op)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "replicas"), 0o750); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		ino := left[name]
		parent := filepath.Dir(name)
		if _, there := left[parent]; !there && parent != "." && parent != "replicas" {
			continue // its folder is not on disk
		}
		path := filepath.Join(dir, name)
		if ino == nil {
			if err := os.MkdirAll(path, 0o750); err != nil {
				return err
			}
			continue
		}
		content := inode{size: ino.size, pages: maps.Clone(ino.pages)}
		for _, w := range ino.pending {
			content.apply(w, keep)
		}
		if err := content.writeTo(path); err != nil {
			return err
		}
	}
	return nil
}

func (n *inode) writeTo(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(n.size); err != nil {
		return err
	}
	for no, page := range n.pages {
		if _, err := f.WriteAt(page, no*pageSize); err != nil {
			return err
		}
	}
	return nil
}
