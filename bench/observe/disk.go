package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// disk is a small file system in a file, with a broker's folder on it, and another file that takes up what is to be taken up. Its syncs
// are those of the disk below.
type disk struct {
	mount, filler string
	taken         int64
}

// newDisk makes and mounts one; the broker finds its folder under the name data.
func newDisk(mount, data string, bytes int64) (*disk, error) {
	image := mount + ".img"
	f, err := os.Create(image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(bytes), f.Close(), os.Mkdir(mount, 0o755)); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, mount}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", args[0], err, out)
		}
	}
	inside := filepath.Join(mount, "data")
	err = errors.Join(os.Mkdir(inside, 0o755), os.Symlink(inside, data))
	return &disk{mount: mount, filler: filepath.Join(mount, "filler")}, err
}

// free is what is free, and the size.
func (d *disk) free() (free, total int64, err error) {
	var st syscall.Statfs_t
	err = syscall.Statfs(d.mount, &st)
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, err
}

// leave takes up space until so many bytes are free.
func (d *disk) leave(bytes int64) error {
	free, _, err := d.free()
	if err != nil || free <= bytes {
		return err
	}
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	d.taken += free - bytes
	return errors.Join(syscall.Fallocate(int(f.Fd()), 0, 0, d.taken), f.Close())
}

// clear gives the space back.
func (d *disk) clear() error {
	d.taken = 0
	return os.Remove(d.filler)
}
