package main

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/runnel-io/runnel/bench/crash/disk"
)

// platter is a worker's folder, in which one image follows another. Most of their files are the same; those stay.
type platter struct {
	dir  string
	have map[string]uint64 // digests of files that are as they were put there
}

// put makes the folder hold an image.
func (p *platter) put(img *disk.Image) error {
	if p.have == nil {
		if err := os.RemoveAll(p.dir); err != nil {
			return err
		}
		if err := os.MkdirAll(p.dir, 0o750); err != nil {
			return err
		}
		p.have = map[string]uint64{}
	}
	if err := p.clear(img); err != nil {
		return err
	}
	return img.Each(func(name string, isFile bool) error {
		path := filepath.Join(p.dir, name)
		if !isFile {
			if err := os.Mkdir(path, 0o750); err != nil && !os.IsExist(err) {
				return err
			}
			return nil
		}
		digest := img.Digest(name)
		if had, ok := p.have[name]; ok && had == digest {
			return nil
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		p.have[name] = digest
		return img.WriteFile(name, path)
	})
}

// clear removes what the image does not have.
func (p *platter) clear(img *disk.Image) error {
	return filepath.WalkDir(p.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == p.dir {
			return err
		}
		name, err := filepath.Rel(p.dir, path)
		if err != nil {
			return err
		}
		if img.Has(name) && img.IsFile(name) != e.IsDir() {
			return nil
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		delete(p.have, name)
		if e.IsDir() {
			for f := range p.have {
				if within(f, name) {
					delete(p.have, f)
				}
			}
			return filepath.SkipDir
		}
		return nil
	})
}

func within(path, folder string) bool {
	return len(path) > len(folder) && path[:len(folder)] == folder && path[len(folder)] == '/'
}

// used forgets what an opened store has changed: meta.db, whose clean mark it takes away, and with all, anything.
func (p *platter) used(all bool) {
	if all {
		p.have = nil
		return
	}
	for name := range p.have {
		if filepath.Ext(name) != ".seg" {
			delete(p.have, name)
		}
	}
}
