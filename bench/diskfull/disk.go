package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// disk is a small file system with a broker's folder on it, and a file that takes up what is to be taken up.
type disk struct {
	mount, filler string
}

// mountable tells why a file system cannot be mounted; nil if it can.
func mountable(dir string) error {
	at := filepath.Join(dir, "trial")
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	defer os.Remove(at)
	if err := syscall.Mount("runnel", at, "tmpfs", 0, "size=1m"); err != nil {
		return err
	}
	return syscall.Unmount(at, 0)
}

// newDisk mounts one; the broker finds its folder under the name data.
func newDisk(mount, data string) (*disk, error) {
	if err := os.Mkdir(mount, 0o755); err != nil {
		return nil, err
	}
	if err := syscall.Mount("runnel", mount, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
		return nil, fmt.Errorf("mount %s: %w", mount, err)
	}
	d := &disk{mount: mount, filler: filepath.Join(mount, "filler")}
	inside := filepath.Join(mount, "data")
	return d, errors.Join(os.Mkdir(inside, 0o755), os.Symlink(inside, data))
}

func (r *diskfull) unmount() error {
	var errs []error
	for _, d := range r.disks {
		errs = append(errs, syscall.Unmount(d.mount, syscall.MNT_DETACH))
	}
	return errors.Join(errs...)
}

func (d *disk) free() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.mount, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// used is what is written on the disk.
func (d *disk) used() (int64, error) {
	free, err := d.free()
	return diskBytes - free, err
}

// leave fills the disk until so many bytes are free.
func (d *disk) leave(bytes int64) error {
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for {
		free, err := d.free()
		if err != nil || free <= bytes {
			return err
		}
		if _, err := f.Write(block[:min(int64(len(block)), free-bytes)]); err != nil {
			if errors.Is(err, syscall.ENOSPC) {
				return nil
			}
			return err
		}
	}
}

// clear gives the space back.
func (d *disk) clear() error { return os.Remove(d.filler) }
