package sim

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// disk is one machine's: its folder, what is not safe from a power cut, and the faults of its own.
type disk struct {
	c   *Cluster
	dir string

	b      *boot               // that runs or ran last
	open   map[string]*bolt.DB // by path as last opened
	opened []*bolt.DB          // of this boot
	absent string              // the file that was asked for last, if it was not there
	lost   *unsynced           // with the next power cut

	// fail makes the next commit of a file whose path contains it fail; after tells whether the data gets there
	// nevertheless (RELIABILITY E1).
	fail  string
	after bool
	// dies has the machine lose its power in the midst of its next commit, or at its next sync of a file or folder: what it has sent
	// before goes on, what is not synced is lost.
	dies    func()
	diesIn  string // what the path of that commit contains
	diesAt  moment
	full    bool // no file of a log gets blocks
	late    bool // and blocks that were taken are none: a file system that copies on write finds that out in the midst of a commit
	flipped bool // a bit was turned once
	failed  int  // faults that fired and cost a replica or the disk
	fulls   int  // writes that had no room

	stalled bool
	waiting []env.Task // woken while stalled
	// heldBack counts them.
	heldBack uint64

	blocks  map[string]int64 // bytes of files that have blocks
	deleted map[string]bool  // folders of replicas that were deleted
}

// moment is when a machine loses its power.
type moment int

const (
	atCommit moment = iota
	atSync
)

func newDisk(c *Cluster, dir string) *disk {
	return &disk{
		c: c, dir: dir, open: map[string]*bolt.DB{}, lost: newUnsynced(dir + ".removed"), deleted: map[string]bool{}, blocks: map[string]int64{},
	}
}

var (
	errDisk = &os.PathError{Op: "fdatasync", Path: "simulated disk", Err: syscall.EIO}
	errFull = &os.PathError{Op: "write", Path: "simulated disk", Err: syscall.ENOSPC}
	errOver = errors.New("the process is gone")
)

func (d *disk) begin(b *boot) { d.b = b }

// hooks are those of one boot: once it is over, what is left of it changes nothing on the disk.
func (d *disk) hooks(b *boot) raftlog.Hooks {
	return raftlog.Hooks{
		Open: func(path string) error {
			if b.over {
				return errOver
			}
			d.absent = ""
			if !exists(path) {
				d.absent = path
			}
			return nil
		},
		Opened: func(path string, db *bolt.DB) {
			if path == d.absent {
				d.lost.makes(path)
			}
			d.opened = append(d.opened, db)
			if !db.IsReadOnly() {
				d.open[path] = db
			}
		},
		Commit: func(path string, commit func() error) error {
			if b.over {
				return errOver
			}
			return d.commit(path, commit)
		},
		Room: func(path string, bytes int64) error {
			path = strings.TrimSuffix(path, ".tmp")
			if d.full && !d.late && bytes > d.blocks[path] {
				d.fulls++
				return errFull
			}
			d.blocks[path] = max(d.blocks[path], bytes)
			return nil
		},
		File: func(op raftlog.FileOp) error {
			switch {
			case b.over:
				return errOver
			case d.full && op.Kind != "sync": // what was written has its room
				d.fulls++
				return errFull
			}
			return d.writes(op)
		},
		FS: func(op raftlog.FSOp) error {
			if b.over {
				return errOver
			}
			if err := d.changes(b, op); err != nil {
				return err
			}
			return d.changesNames(op)
		},
		Free: func(string) (int64, error) {
			if d.full {
				return 0, nil
			}
			return 1 << 40, nil
		},
	}
}

// changes watches the folders: what is deleted must have been meant (I18), and what was must not come back under its id (I19).
func (d *disk) changes(b *boot, op raftlog.FSOp) error {
	switch op.Kind {
	case "removeall":
		if r, ok := d.replicaOf(op.Path); ok {
			d.deleted[op.Path] = true
			d.c.deletes(b, r)
		}
	case "mkdir":
		if d.deleted[op.Path] {
			d.c.violate("I19", "m%d: a replica is made again under the id of one that was deleted: %s", b.m.n, filepath.Base(op.Path))
		}
	case "rename":
		if d.deleted[op.To] {
			d.c.violate("I19", "m%d: a replica is installed under the id of one that was deleted: %s", b.m.n, filepath.Base(op.To))
		}
		if db := d.open[op.Path]; db != nil {
			d.open[op.To] = db
		}
	}
	return nil
}

// writes follows what is written to files past bbolt.
func (d *disk) writes(op raftlog.FileOp) error {
	switch op.Kind {
	case "create":
		if !exists(op.Path) {
			d.lost.makes(op.Path)
		}
		return d.lost.writes(op.Path, 0)
	case "write":
		return d.lost.writes(op.Path, op.Off)
	case "sync":
		if d.dying(atSync, op.Path) {
			return errOver
		}
		d.lost.syncs(op.Path)
	}
	return nil
}

// changesNames follows what is done to folders.
func (d *disk) changesNames(op raftlog.FSOp) error {
	switch op.Kind {
	case "mkdir":
		if !exists(op.Path) {
			d.lost.makes(op.Path)
		}
	case "rename":
		return d.lost.moves(op.Path, op.To)
	case "remove", "removeall":
		return d.lost.removes(op.Path)
	case "syncdir":
		if d.dying(atSync, op.Path) {
			return errOver
		}
		return d.lost.syncsFolder(op.Path)
	}
	return nil
}

// dying has the machine lose its power if that is due now.
func (d *disk) dying(at moment, path string) bool {
	dies := d.dies
	if dies == nil || at != d.diesAt || !strings.Contains(path, d.diesIn) {
		return false
	}
	d.dies = nil
	dies()
	return true
}

// replicaOf finds the replica, known to the store, whose folder a path is.
func (d *disk) replicaOf(path string) (groupReplica, bool) {
	if d.b == nil || d.b.store == nil {
		return groupReplica{}, false
	}
	for _, r := range d.b.store.Replicas() {
		if filepath.Base(path) == folderOf(groupReplica{r.Group, r.Replica}) {
			return groupReplica{r.Group, r.Replica}, true
		}
	}
	return groupReplica{}, false
}

func (d *disk) commit(path string, commit func() error) error {
	if d.dying(atCommit, path) {
		return errOver
	}
	if d.full && d.late && !strings.HasSuffix(path, "meta.db") {
		d.fulls++
		return errFull
	}
	fails := d.fail != "" && strings.Contains(path, d.fail)
	if fails {
		d.fail = ""
		d.failed++
		d.c.faulter.fired("disk error")
		if !d.after {
			return errDisk
		}
	}
	db := d.open[path]
	unsafe := db != nil && db.NoSync
	if unsafe && !strings.HasSuffix(path, ".tmp") {
		if err := d.lost.writes(path, 0); err != nil {
			return err
		}
	}
	err := commit()
	if err == nil && !unsafe {
		d.lost.syncs(path)
	}
	if fails {
		return errDisk
	}
	return err
}

// abandon closes the files as a killed process leaves them: nothing more is written. A lock that the dead process held on
// the folder goes with the file's name.
func (d *disk) abandon() error {
	return errors.Join(d.closed(), os.Remove(filepath.Join(d.dir, "LOCK")))
}

// closed notes that the process has closed what it was to close itself. The rest goes with it.
func (d *disk) closed() error {
	var errs []error
	for _, db := range d.opened {
		errs = append(errs, db.Close())
	}
	d.opened = nil
	clear(d.open)
	return errors.Join(errs...)
}

// powerCut loses what was not synced. The files must be closed.
func (d *disk) powerCut() {
	files, names, err := d.lost.lose()
	if err != nil {
		d.c.violate("run", "%s: power cut: %v", filepath.Base(d.dir), err)
	}
	d.c.w.Trace("%s: the power cut took back the contents of %d files and %d names", filepath.Base(d.dir), files, names)
	r := &d.c.report
	r.Cuts.All++
	r.Cuts.Files, r.Cuts.Names = r.Cuts.Files+files, r.Cuts.Names+names
	if files+names > 0 {
		r.Cuts.Losing++
	}
}

// wipe empties the disk. The files must be closed.
func (d *disk) wipe() error {
	clear(d.deleted)
	clear(d.blocks)
	return errors.Join(d.lost.clear(), os.RemoveAll(d.dir))
}

// flip turns a bit of a text wherever it stands in the log of a replica, and tells in how many places. Where that is in the files is
// bbolt's affair, and differs from run to run.
func (d *disk) flip(r groupReplica, text string) (places int, err error) {
	files, err := filepath.Glob(filepath.Join(d.dir, "replicas", folderOf(r), "*"))
	if err != nil {
		return 0, err
	}
	slices.Sort(files)
	for _, name := range files {
		b, err := os.ReadFile(filepath.Clean(name))
		if err != nil {
			return places, err
		}
		f, err := os.OpenFile(filepath.Clean(name), os.O_WRONLY, 0)
		if err != nil {
			return places, err
		}
		for at, s := 0, string(b); ; places++ {
			i := strings.Index(s[at:], text)
			if i < 0 {
				break
			}
			at += i
			if _, err := f.WriteAt([]byte{s[at] ^ 1}, int64(at)); err != nil {
				return places, errors.Join(err, f.Close())
			}
			at += len(text)
		}
		if err := f.Close(); err != nil {
			return places, err
		}
	}
	return places, nil
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

// executor makes a boot's tasks: those that append wait for a stalled disk.
type executor struct {
	env.Executor
	b *boot
}

func (x executor) NewTask(class env.Class, name string, run func()) env.Task {
	if class != env.ClassAppend {
		return x.Executor.NewTask(class, name, run)
	}
	d := x.b.m.disk
	var t env.Task
	t = x.Executor.NewTask(class, name, func() {
		if d.stalled {
			d.waiting = append(d.waiting, t)
			d.heldBack++
			return
		}
		run()
	})
	return t
}
