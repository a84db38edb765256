package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/runnel-io/runnel/bench/workload"
)

// noticedWithin is how long a flipped bit may be there until its replica is given up; each round of it reads all that the broker holds.
const noticedWithin = 10 * time.Second

// bitFlip flips a bit of a stored record of a broker that is stopped, starts it, and reads all that it holds until the broker gives that replica up.
// If it does not, since nothing is read there any more or it cannot be asked, the bit is flipped back: a damage that stays hidden, and the next
// fault of another disk, would cost a partition two copies.
func (r *run) bitFlip(ctx context.Context, s step) (string, error) {
	m, err := r.hit(s, nil)
	if err != nil {
		return "", err
	}
	var f flipped
	if err := func() error {
		defer m.give()
		if err := m.crash(); err != nil {
			return err
		}
		m.harm()
		f, err = flip(m.DataDir(), s.Variant)
		return errors.Join(err, m.boot())
	}(); err != nil {
		return "", err
	}
	noticed := func() (bool, error) {
		n, err := count(m.LogFile(), f.notice())
		return n > 0, err
	}
	_ = until(ctx, noticedWithin, func(ctx context.Context) string { // whether it was is asked for below
		if err := m.Ready(ctx); err != nil {
			return err.Error()
		}
		if err := r.readAll(ctx, m); err != nil {
			return err.Error()
		}
		if is, err := noticed(); err != nil || !is {
			return "it is not noticed"
		}
		return ""
	})
	if is, err := noticed(); is || err != nil {
		return fmt.Sprintf("broker %d, %s; it was noticed", m.Number, f.what), err
	}
	if err := m.take(r.life); err != nil { // also if the round is over: then it is flipped back at once
		return "", err
	}
	defer m.give()
	if err := errors.Join(m.crash(), f.undo(), m.boot()); err != nil {
		return "", err
	}
	return "", errUnfit
}

// flipped is a bit that was.
type flipped struct {
	file   string
	at     int64
	bit    uint64
	around []byte // what is there since, from at on
	what   string
}

// aroundBytes is so much that it is no chance if it is all there still.
const aroundBytes = 16

// flip flips one bit of a payload in the segments below a folder.
func flip(dir string, variant uint64) (f flipped, err error) {
	type place struct {
		file string
		at   int64
	}
	var places []place
	err = filepath.WalkDir(filepath.Join(dir, "replicas"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".seg" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for at := 0; ; {
			i := bytes.Index(raw[at:], []byte(workload.Marker))
			if i < 0 {
				return nil
			}
			at += i
			places = append(places, place{path, int64(at)})
			at += len(workload.Marker)
		}
	})
	if err != nil {
		return f, err
	}
	if len(places) == 0 {
		return f, errUnfit
	}
	p := places[variant%uint64(len(places))]
	f = flipped{file: p.file, at: p.at + int64(variant>>20%uint64(len(workload.Marker)+8)), bit: variant >> 40 % 8}
	rel, err := filepath.Rel(dir, f.file)
	if err != nil {
		return f, err
	}
	f.what = fmt.Sprintf("bit %d of byte %d of %s", f.bit, f.at, rel)
	f.around, err = f.turn(nil)
	return f, err
}

// turn flips the bit, if the file has what is expected there (nil for anything), and answers what it has then.
func (f flipped) turn(expected []byte) (around []byte, err error) {
	file, err := os.OpenFile(f.file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	around = make([]byte, aroundBytes)
	if _, err := file.ReadAt(around, f.at); err != nil {
		return nil, err
	}
	if expected != nil && !bytes.Equal(around, expected) {
		return around, nil
	}
	around[0] ^= 1 << f.bit
	if _, err := file.WriteAt(around[:1], f.at); err != nil {
		return nil, err
	}
	return around, file.Sync()
}

// undo flips the bit back, if it is there still.
func (f flipped) undo() error {
	if _, err := f.turn(f.around); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// notice is what a broker says when it gives up the replica.
func (f flipped) notice() string {
	var group, replica uint64
	if _, err := fmt.Sscanf(filepath.Base(filepath.Dir(f.file)), "%x-%x", &group, &replica); err != nil {
		return err.Error() // which nobody says
	}
	return fmt.Sprintf(`msg="replica is quarantined; replace it" component=raftlog group=%d replica=%d `, group, replica)
}
