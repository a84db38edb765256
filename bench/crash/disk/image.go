package disk

import (
	"errors"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mode says how much of what was not synced reaches the disk.
type Mode int

// The modes.
const (
	Nothing Mode = iota // all that was not synced is lost
	All                 // all of it made it
	Random              // any subset: see Cut
)

func (m Mode) String() string { return [...]string{"nothing", "all", "random"}[m] }

// Image is what is found after a cut: folders and files with their contents. It does not change when the Disk goes on.
type Image struct {
	names []string // parents before what is in them
	files map[string]content
	Hash  uint64 // of all of it
}

// Cut gives what a power cut leaves. For Random, each file with unsynced changes loses all of them, none, whole writes, or single
// sectors, and each folder keeps some prefix of its changes; rnd decides.
func (d *Disk) Cut(mode Mode, rnd *rand.Rand) *Image {
	img := &Image{files: map[string]content{}}
	d.cut(img, d.root, ".", mode, rnd)
	slices.Sort(img.names) // a folder still comes before what is in it
	return img
}

func (d *Disk) cut(img *Image, in *folder, path string, mode Mode, rnd *rand.Rand) {
	n := len(in.pending)
	switch mode {
	case Nothing:
		n = 0
	case Random:
		if n > 0 {
			n = rnd.IntN(n + 1)
		}
	}
	names := in.synced
	if n > 0 {
		names = maps.Clone(names)
		for i := range in.pending[:n] {
			in.pending[i].apply(names)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		at := filepath.Join(path, name)
		img.names = append(img.names, at)
		img.Hash += mix(maphash.String(seed, at))
		switch n := names[name].(type) {
		case *folder:
			d.cut(img, n, at, mode, rnd)
		case *file:
			c := n.cut(mode, rnd)
			img.files[at] = c
			img.Hash += mix(maphash.String(seed, at) ^ c.digest())
		}
	}
}

// cut gives the content that a file is left with.
func (f *file) cut(mode Mode, rnd *rand.Rand) content {
	if len(f.pending) == 0 || mode == Nothing {
		return f.synced
	}
	c := f.synced.begin()
	if mode == All {
		for _, w := range f.pending {
			c.apply(w, nil)
		}
		return c.done()
	}
	coin := func() bool { return rnd.Uint64()&1 == 0 }
	switch rnd.IntN(4) {
	case 0: // nothing
	case 1:
		for _, w := range f.pending {
			c.apply(w, nil)
		}
	case 2: // whole writes
		for _, w := range f.pending {
			if coin() {
				c.apply(w, nil)
			}
		}
	default: // sectors
		for _, w := range f.pending {
			c.apply(w, coin)
		}
	}
	return c.done()
}

// Files are the files of an image, in order.
func (img *Image) Files() []string { return slices.Sorted(maps.Keys(img.files)) }

// Size is a file's length in bytes.
func (img *Image) Size(path string) int64 { return img.files[path].size }

// Pages are the numbers of the pages of a file that hold something but zeros.
func (img *Image) Pages(path string) []int64 {
	c := img.files[path]
	return c.numbers()
}

// Page is the content of one page of a file. It must not be changed.
func (img *Image) Page(path string, no int64) []byte {
	if p := img.files[path].pages[no]; p != nil {
		return p.b[:]
	}
	return zeros[:]
}

// Flip gives the image with one bit of a file changed.
func (img *Image) Flip(path string, off int64, bit uint) *Image {
	other := &Image{names: img.names, files: maps.Clone(img.files)}
	old := img.files[path]
	c := old.begin()
	c.page(off / pageSize).b[off%pageSize] ^= 1 << (bit % 8)
	changed := c.done()
	other.files[path] = changed
	h := maphash.String(seed, path)
	other.Hash = img.Hash - mix(h^old.digest()) + mix(h^changed.digest())
	return other
}

// Only gives the part of the image that is below folders whose names begin so. Its Hash is still that of the whole.
func (img *Image) Only(prefix string) *Image {
	part := &Image{files: img.files, Hash: img.Hash}
	for _, name := range img.names {
		if strings.HasPrefix(name, prefix) {
			part.names = append(part.names, name)
		}
	}
	return part
}

// Each calls f for each folder and file, parents before what is in them.
func (img *Image) Each(f func(name string, isFile bool) error) error {
	for _, name := range img.names {
		if err := f(name, img.IsFile(name)); err != nil {
			return err
		}
	}
	return nil
}

// Has tells whether there is a folder or a file of this name.
func (img *Image) Has(name string) bool {
	_, ok := slices.BinarySearch(img.names, name)
	return ok
}

// IsFile tells whether a name is a file's.
func (img *Image) IsFile(name string) bool {
	_, ok := img.files[name]
	return ok
}

// Digest is a hash of a file's content; of a folder, of all that is in it.
func (img *Image) Digest(name string) uint64 {
	if c, ok := img.files[name]; ok {
		return c.digest()
	}
	sum := uint64(0)
	for _, n := range img.names {
		if strings.HasPrefix(n, name+"/") {
			sum += mix(maphash.String(seed, n))
			if c, ok := img.files[n]; ok {
				sum += mix(maphash.String(seed, n) ^ c.digest())
			}
		}
	}
	return sum
}

// WriteTo puts the image into an empty folder.
func (img *Image) WriteTo(dir string) error {
	return img.Each(func(name string, isFile bool) error {
		path := filepath.Join(dir, name)
		if !isFile {
			return os.Mkdir(path, 0o750)
		}
		return img.WriteFile(name, path)
	})
}

// WriteFile makes one file of the image.
func (img *Image) WriteFile(name, path string) error {
	c := img.files[name]
	return c.writeTo(path)
}

func (c *content) writeTo(path string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for no, p := range c.pages {
		if p.sum == 0 || no*pageSize >= c.size {
			continue
		}
		n := min(pageSize, c.size-no*pageSize)
		if _, err := f.WriteAt(p.b[:n], no*pageSize); err != nil {
			return err
		}
	}
	return f.Truncate(c.size)
}
