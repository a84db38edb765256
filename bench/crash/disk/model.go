package disk

import (
	"fmt"
	"maps"
	"path/filepath"
)

const (
	pageSize   = 4096
	sectorSize = 512 // what a disk writes whole
)

// Disk is the disk as of some event.
type Disk struct {
	root *folder
	// gone are files that lost their last name and may still be open, by that name.
	gone map[string]*file
	line int // of the newest event
}

// node is a *file or a *folder.
type node any

// file is a file's content.
type file struct {
	synced  content
	pending []change
}

// change is an unsynced write, or a change of size.
type change struct {
	size bool
	off  int64 // the new size, or where data goes
	data []byte
	end  int // line where its call returned
}

// folder holds names.
type folder struct {
	live    map[string]node // as processes see it
	synced  map[string]node
	pending []rename
}

// rename is an unsynced change of a folder: a name goes, a name comes, or both at once.
type rename struct {
	from, to string // "" = none
	n        node   // of to
	end      int
}

func newFolder() *folder { return &folder{live: map[string]node{}, synced: map[string]node{}} }

// New is an empty disk.
func New() *Disk { return &Disk{root: newFolder(), gone: map[string]*file{}} }

func (c *rename) apply(names map[string]node) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.n
	}
}

// lookup finds what a path names now.
func (d *Disk) lookup(path string) node {
	if path == "." {
		return d.root
	}
	f, ok := d.lookup(filepath.Dir(path)).(*folder)
	if !ok {
		return nil
	}
	return f.live[filepath.Base(path)]
}

func (d *Disk) parent(path string) (*folder, error) {
	f, ok := d.lookup(filepath.Dir(path)).(*folder)
	if !ok {
		return nil, fmt.Errorf("%s: its folder is not known", path)
	}
	return f, nil
}

// file finds an open file, also one without a name.
func (d *Disk) file(path string) (*file, error) {
	if f, ok := d.lookup(path).(*file); ok {
		return f, nil
	}
	if f := d.gone[path]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("%s is no file that is known", path)
}

func (f *folder) change(c rename) {
	c.apply(f.live)
	f.pending = append(f.pending, c)
}

// Step takes the next event.
func (d *Disk) Step(e *Event) error {
	d.line = e.at()
	switch e.Kind {
	case Mark:
		return nil
	case Mkdir:
		in, err := d.parent(e.Path)
		if err != nil {
			return err
		}
		in.change(rename{to: filepath.Base(e.Path), n: newFolder(), end: e.End})
	case Open:
		return d.open(e)
	case Write:
		f, err := d.file(e.Path)
		if err != nil {
			return err
		}
		f.pending = append(f.pending, change{off: e.Off, data: e.Data, end: e.End})
	case Size:
		f, err := d.file(e.Path)
		if err != nil {
			return err
		}
		f.pending = append(f.pending, change{size: true, off: e.Off, end: e.End})
	case Sync:
		return d.sync(e)
	case Rename:
		return d.rename(e)
	case Remove:
		in, err := d.parent(e.Path)
		if err != nil {
			return err
		}
		name := filepath.Base(e.Path)
		if f, ok := in.live[name].(*file); ok {
			d.gone[e.Path+deletedSuffix] = f
		}
		in.change(rename{from: name, end: e.End})
	}
	return nil
}

func (d *Disk) open(e *Event) error {
	in, err := d.parent(e.Path)
	if err != nil {
		return err
	}
	switch n := in.live[filepath.Base(e.Path)].(type) {
	case nil:
		in.change(rename{to: filepath.Base(e.Path), n: &file{}, end: e.End})
	case *file:
		if e.Truncate {
			n.pending = append(n.pending, change{size: true, end: e.End})
		}
	default:
		return fmt.Errorf("%s is a folder", e.Path)
	}
	return nil
}

func (d *Disk) rename(e *Event) error {
	if filepath.Dir(e.Path) != filepath.Dir(e.To) {
		return fmt.Errorf("%s was moved to another folder, %s: that is not modelled", e.Path, e.To)
	}
	in, err := d.parent(e.Path)
	if err != nil {
		return err
	}
	n := in.live[filepath.Base(e.Path)]
	if n == nil {
		return fmt.Errorf("%s was renamed and is not known", e.Path)
	}
	if f, ok := in.live[filepath.Base(e.To)].(*file); ok {
		d.gone[e.To+deletedSuffix] = f
	}
	in.change(rename{from: filepath.Base(e.Path), to: filepath.Base(e.To), n: n, end: e.End})
	return nil
}

// sync makes durable what had returned before the sync began.
func (d *Disk) sync(e *Event) error {
	if in, ok := d.lookup(e.Path).(*folder); ok {
		n := 0
		synced := maps.Clone(in.synced)
		for n < len(in.pending) && in.pending[n].end < e.Begin {
			in.pending[n].apply(synced)
			n++
		}
		in.synced, in.pending = synced, in.pending[n:]
		return nil
	}
	f, err := d.file(e.Path)
	if err != nil {
		return err
	}
	var kept []change
	c := f.synced.begin()
	for _, w := range f.pending {
		if w.end < e.Begin {
			c.apply(w, nil)
		} else {
			kept = append(kept, w)
		}
	}
	f.synced, f.pending = c.done(), kept
	return nil
}

// Pending tells how many changes of files and of folders are on their way, over all that can be reached.
func (d *Disk) Pending() (n int) {
	d.walk(d.root, func(f *file) { n += len(f.pending) }, func(in *folder) { n += len(in.pending) })
	return n
}

func (d *Disk) walk(in *folder, onFile func(*file), onFolder func(*folder)) {
	onFolder(in)
	for _, n := range in.live {
		switch n := n.(type) {
		case *file:
			onFile(n)
		case *folder:
			d.walk(n, onFile, onFolder)
		}
	}
}
