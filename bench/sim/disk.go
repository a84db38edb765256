package sim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// disk is one machine's: its folder, what is not safe from a power cut, and the faults of its own.
type disk struct {
	dir    string
	noSync bool // seeded bug: the product syncs nothing

	open   map[string]*bolt.DB // by path as last opened
	opened []*bolt.DB          // of this boot
	// unsynced holds, for files whose newest commits were not synced, what the platter has. nil: no such file.
	unsynced map[string][]byte

	// fail makes the next commit of a file whose path contains it fail; after tells whether the data gets there
	// nevertheless (RELIABILITY E1).
	fail   string
	after  bool
	failed int // faults that fired

	stalled bool
	waiting []env.Task // woken while stalled

	known   func(path string) bool // whether the store knows the replica of a folder
	deleted map[string]bool        // folders of replicas that were deleted
	again   func(path string)      // called when one of these is made again
}

func newDisk(dir string, noSync bool) *disk {
	return &disk{dir: dir, noSync: noSync, open: map[string]*bolt.DB{}, unsynced: map[string][]byte{}, deleted: map[string]bool{}}
}

var errDisk = &os.PathError{Op: "fdatasync", Path: "simulated disk", Err: syscall.EIO}

func (d *disk) hooks() raftlog.Hooks {
	return raftlog.Hooks{
		NoSync: d.noSync,
		Opened: func(path string, db *bolt.DB) {
			d.opened = append(d.opened, db)
			if !db.IsReadOnly() {
				d.open[path] = db
			}
		},
		Commit: d.commit,
		FS: func(op raftlog.FSOp) error {
			switch {
			case op.Kind == "removeall" && d.known(op.Path):
				d.deleted[op.Path] = true
			case op.Kind == "mkdir" && d.deleted[op.Path]:
				d.again(op.Path)
			}
			if op.Kind == "rename" {
				if b, ok := d.unsynced[op.Path]; ok {
					delete(d.unsynced, op.Path)
					d.unsynced[op.To] = b
				}
				if db := d.open[op.Path]; db != nil {
					d.open[op.To] = db
				}
			}
			return nil
		},
	}
}

func (d *disk) commit(path string, commit func() error) error {
	fails := d.fail != "" && strings.Contains(path, d.fail)
	if fails {
		d.fail = ""
		d.failed++
		if !d.after {
			return errDisk
		}
	}
	db := d.open[path]
	unsafe := db != nil && db.NoSync
	if _, ok := d.unsynced[path]; unsafe && !ok && !strings.HasSuffix(path, ".tmp") {
		b, err := os.ReadFile(filepath.Clean(path))
		if err != nil {
			return err
		}
		d.unsynced[path] = b
	}
	err := commit()
	if err == nil && !unsafe {
		delete(d.unsynced, path)
	}
	if fails {
		return errDisk
	}
	return err
}

// writeBack is what an operating system does by itself now and then.
func (d *disk) writeBack() { clear(d.unsynced) }

// abandon closes the files as a killed process leaves them: nothing more is written. A lock that the dead process held on
// the folder goes with the file's name.
func (d *disk) abandon() error {
	var errs []error
	for _, db := range d.opened {
		errs = append(errs, db.Close())
	}
	d.opened = nil
	clear(d.open)
	errs = append(errs, os.Remove(filepath.Join(d.dir, "LOCK")))
	return errors.Join(errs...)
}

// powerCut loses what was not synced. The files must be closed.
func (d *disk) powerCut() (lost int, err error) {
	var errs []error
	for path, b := range d.unsynced {
		if _, err := os.Stat(path); err != nil {
			continue // unlinked since
		}
		lost++
		errs = append(errs, os.WriteFile(path, b, 0o600))
	}
	clear(d.unsynced)
	return lost, errors.Join(errs...)
}

// stall holds back all tasks that wait for the disk, or lets them go.
func (d *disk) stall(on bool) {
	d.stalled = on
	if !on {
		w := d.waiting
		d.waiting = nil
		for _, t := range w {
			t.Wake()
		}
	}
}

// executor makes a boot's tasks: those that append wait for a stalled disk, and the wakes of an agent's Tick are put in
// order (see boot.tick).
type executor struct {
	env.Executor
	b *boot
}

func (x executor) NewTask(class env.Class, name string, run func()) env.Task {
	x.b.tasks++
	t := &diskTask{b: x.b, number: x.b.tasks}
	d := x.b.m.disk
	t.Task = x.Executor.NewTask(class, name, func() {
		if class == env.ClassAppend && d.stalled {
			d.waiting = append(d.waiting, t)
			return
		}
		run()
	})
	return t
}

type diskTask struct {
	env.Task
	b      *boot
	number int // in the order of their making
}

func (t *diskTask) Wake() {
	if t.b.ticking {
		t.b.ticked = append(t.b.ticked, ticked{order: t.number, run: t.Task.Wake})
		return
	}
	t.Task.Wake()
}

func (t *diskTask) Stop() {
	if !t.b.m.c.panicked { // else it may be the one that runs
		t.Task.Stop()
	}
}

// ticked is one effect of an agent's Tick.
type ticked struct {
	order int
	run   func()
}
