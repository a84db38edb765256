package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// disk is a small file system with a broker's folder on it, and a file that takes up what is to be taken up.
type disk struct {
	mount, filler string
	bytes         int64 // that were free when it was new
}

// mountable tells why a file system cannot be mounted; nil if it can.
func mountable(ctx context.Context, fs, dir string) error {
	d, err := newDisk(ctx, fs, filepath.Join(dir, "trial"), filepath.Join(dir, "trial-data"))
	if err != nil {
		return err
	}
	return errors.Join(d.unmount(), os.Remove(d.mount), os.RemoveAll(d.image()), os.Remove(filepath.Join(dir, "trial-data")))
}

// image is the file that a file system other than tmpfs lies in.
func (d *disk) image() string { return d.mount + ".image" }

// newDisk makes one and mounts it; the broker finds its folder under the name data.
func newDisk(ctx context.Context, fs, mount, data string) (*disk, error) {
	if err := os.Mkdir(mount, 0o755); err != nil {
		return nil, err
	}
	d := &disk{mount: mount, filler: filepath.Join(mount, "filler")}
	if fs == "tmpfs" {
		if err := syscall.Mount("runnel", mount, fs, 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
			return nil, fmt.Errorf("mount %s: %w", mount, err)
		}
	} else if err := d.format(ctx, fs); err != nil {
		return nil, err
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(mount, &st); err != nil {
		return nil, errors.Join(err, d.unmount())
	}
	d.bytes = int64(st.Bavail) * st.Bsize
	inside := filepath.Join(mount, "data")
	if err := errors.Join(os.Mkdir(inside, 0o755), os.Symlink(inside, data)); err != nil {
		return nil, errors.Join(err, d.unmount())
	}
	return d, nil
}

// format makes a file system in a file and mounts it.
func (d *disk) format(ctx context.Context, fs string) error {
	f, err := os.Create(d.image())
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskBytes), f.Close()); err != nil {
		return err
	}
	for _, args := range [][]string{{"mkfs." + fs, "-q", d.image()}, {"mount", "-o", "loop", d.image(), d.mount}} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
		}
	}
	return nil
}

func (d *disk) unmount() error { return syscall.Unmount(d.mount, syscall.MNT_DETACH) }

func (r *diskfull) unmount() error {
	var errs []error
	for _, d := range r.disks {
		errs = append(errs, d.unmount())
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
	return d.bytes - free, err
}

// leave fills the disk until so many bytes are free. What is only written might be given back when the file is closed, as XFS does.
func (d *disk) leave(bytes int64) error {
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for most := int64(1 << 20); most >= block; {
		free, err := d.free()
		n := min(most, free-bytes)
		if err != nil || n <= 0 {
			return err
		}
		switch err := syscall.Fallocate(int(f.Fd()), 0, size, n); {
		case err == nil:
			size += n
		case errors.Is(err, syscall.ENOSPC): // the file system may want some for itself
			most /= 2
		case errors.Is(err, syscall.EINTR):
		default:
			return err
		}
	}
	return nil
}

// block is the least that a file takes of a disk.
const block = 4 << 10

// clear gives the space back.
func (d *disk) clear() error { return os.Remove(d.filler) }
