package raftlog

import (
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
)

const (
	// A replica is received in a folder of this name beside the real ones. It never ran, so it is removed at the next start.
	installSuffix = ".installing"
	// What an install needs besides the bytes that are shipped: bbolt's pages of the tail, and a little.
	installSlack = 16 << 20
	// How often the space is looked at again while bytes arrive: others write to the disk too.
	spaceEvery = 64 << 20
	// MaxCheckpointBytes is the largest checkpoint that is received: it is held in memory as a whole.
	MaxCheckpointBytes = 256 << 20
	// maxShipped is more than any disk has, and leaves room to count with.
	maxShipped = 1 << 56
)

// ErrStale is returned by Installer.Finish when replicas were deleted here by a later state than the one that wanted the new one.
var ErrStale = errors.New("the state that wants this replica is older than one that deleted replicas of this broker; it may have been deleted itself")

// Installer receives a replica from a shipment and installs it under a new id, while no RawNode of it runs (RULES 19). It is
// not safe for concurrent use. The calls are
//
//	Begin, then for each file WriteFile until Have tells that it is whole and FinishFile, then WriteTail, then Finish
//
// Begin may be called again at any time with another manifest, of the same or of another source: what still fits is kept.
// After a crash nothing is left but, if Finish had got that far, the installed replica. Where a failed sync leaves it open what is on the
// disk, the installer has ended as by Abort, and its calls return ErrClosed: begin anew with another.
type Installer struct {
	s    *Store
	id   replicaID
	dir  string // where it is received
	over bool   // finished or aborted

	revision atomic.Uint64 // see Wanted
	left     int64         // bytes it still needs; guarded by Store.mu
	unlooked int64         // bytes received since the space was last looked at

	m     *Manifest
	cp    Checkpoint // of m
	files []*installFile
	tail  *installTail
}

// installFile is a file on its way.
type installFile struct {
	ShippedFile
	have int64
	h    hash.Hash // over what is there
	raw  *rawFile  // nil while not being written
	sum  [SumBytes]byte
	done bool // verified, and made the new replica's own

	prevTerm uint64    // of the entry before, known when done
	runs     []termRun // of its entries, known when done
}

// Install begins to install a replica that this broker does not have. Errors: ErrReplicaExists; ErrClosed. It takes the id until Finish
// or Abort; one of them must be called before the Store is closed. As with Create, the caller has compared Floor, and says with
// Wanted of which revision the state was.
func (s *Store) Install(group, newReplica uint64) (*Installer, error) {
	id := replicaID{group, newReplica}
	s.mu.Lock()
	_, known := s.replicas[id]
	_, busy := s.open[id]
	switch {
	case s.closed:
		s.mu.Unlock()
		return nil, ErrClosed
	case known:
		s.mu.Unlock()
		return nil, fmt.Errorf("install replica %d of group %d: %w", newReplica, group, ErrReplicaExists)
	case busy:
		s.mu.Unlock()
		return nil, fmt.Errorf("replica %d of group %d is being installed or created already", newReplica, group)
	}
	s.open[id] = nil
	s.mu.Unlock()
	in := &Installer{s: s, id: id, dir: s.replicaDir(id) + installSuffix}
	in.revision.Store(noRevision)
	err := s.disk.removeAll(in.dir)
	if err == nil {
		err = s.disk.mkdir(in.dir)
	}
	if err != nil {
		in.release()
		return nil, fmt.Errorf("install replica %d of group %d: %w", newReplica, group, describeIO(err))
	}
	return in, nil
}

// noRevision stands for a caller that says nothing of revisions: nothing is stale to it.
const noRevision = ^uint64(0)

// Wanted tells the revision of the newest state that wants this replica. Finish compares it with the floor once more: a long install
// may end after its replica was given up, and that it was is known only as long as this broker runs. It may be called at any
// time, by any goroutine.
func (in *Installer) Wanted(revision uint64) { in.revision.Store(revision) }

// release gives the id and the space back.
func (in *Installer) release() {
	in.over = true
	in.s.mu.Lock()
	delete(in.s.open, in.id)
	delete(in.s.installs, in)
	in.s.mu.Unlock()
}

func (in *Installer) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("install replica %d of group %d: %s: %w", in.id.replica, in.id.group, what, describeIO(err))
}

// Begin takes a manifest, and checks it and the space it needs: with less, no byte is received and the error is ENOSPC's. What
// was received for an earlier manifest and fits this one is kept; Have tells.
func (in *Installer) Begin(m *Manifest) error {
	if in.over {
		return ErrClosed
	}
	cp, err := decodeCheckpoint(m.Checkpoint)
	if err != nil {
		return in.wrap("begin", &DamagedError{What: "the checkpoint", Transit: true, Problem: err})
	}
	if err := m.check(in.id, &cp); err != nil {
		return in.wrap("begin", &DamagedError{What: "the manifest", Problem: err})
	}
	if err := in.keep(m); err != nil {
		return in.wrap("begin", err)
	}
	in.m, in.cp = m, cp
	return in.wrap("begin", in.checkSpace())
}

// check tells what is wrong with a manifest: it comes from another broker.
func (m *Manifest) check(id replicaID, cp *Checkpoint) error {
	switch {
	case m.Group != id.group:
		return fmt.Errorf("it is of group %d", m.Group)
	case m.Replica == id.replica:
		return errors.New("it is of this replica itself")
	case cp.Index != m.Index || cp.Term != m.IndexTerm || m.Index == 0:
		return fmt.Errorf("its checkpoint is at index %d, term %d, its end at %d, %d", cp.Index, cp.Term, m.Index, m.IndexTerm)
	case m.Term < m.IndexTerm || m.TailPrevTerm > m.IndexTerm:
		return fmt.Errorf("its source has term %d, its last entry %d", m.Term, m.IndexTerm)
	case m.TailFirst < 2 || m.TailFirst > m.Index+1:
		return fmt.Errorf("it ends at %d, its tail begins at %d", m.Index, m.TailFirst)
	case m.CheckpointBytes < 0 || m.CheckpointBytes > MaxCheckpointBytes || m.TailBytes < 0 || m.TailBytes > maxShipped:
		return fmt.Errorf("its checkpoint has %d bytes, its tail %d", m.CheckpointBytes, m.TailBytes)
	}
	left := maxShipped - m.TailBytes // what the files may have, so that need can count
	for i := range m.Files {
		f := &m.Files[i]
		if f.First < 2 || f.Last < f.First || f.Next < f.Base || f.Bytes < 4*boltPageSize || f.Bytes > left || f.EntryBytes < 0 {
			return fmt.Errorf("file %d has entries %d to %d in %d bytes", i, f.First, f.Last, f.Bytes)
		}
		left -= f.Bytes
		next, base := m.TailFirst, m.TailBase
		if i+1 < len(m.Files) {
			next, base = m.Files[i+1].First, m.Files[i+1].Base
		}
		if next != f.Last+1 || base != f.Next {
			return fmt.Errorf("entry %d at offset %d follows entry %d, which ends at offset %d", next, base, f.Last, f.Next)
		}
	}
	if n := len(m.Files); n > 0 && m.Files[n-1].RunMax != m.TailRunMax {
		return errors.New("its tail does not follow its files")
	}
	return nil
}

// keep sorts what is there by what a new manifest asks for. A whole file of the same name and size stays; whether its bytes are
// the same is for the hash to tell (Fits). So does one in part: its hash over all of it will.
func (in *Installer) keep(m *Manifest) error {
	old := map[uint64]*installFile{}
	for _, f := range in.files {
		old[f.First] = f
	}
	files := make([]*installFile, len(m.Files))
	for i, want := range m.Files {
		if f := old[want.First]; f != nil && f.ShippedFile == want && in.m.Replica == m.Replica {
			files[i] = f
			delete(old, want.First)
			continue
		}
		files[i] = &installFile{ShippedFile: want}
	}
	in.files = files
	for _, f := range old {
		if err := in.remove(f); err != nil {
			return err
		}
	}
	// The tail's entries are committed, so they are the same in any shipment. Its header may not be: it lists the files before the tail. Of
	// those it may name some that were trimmed since, but must name all that are there.
	if in.tail != nil && (in.m.Replica != m.Replica || in.m.TailFirst != m.TailFirst || m.first() < in.tail.from) {
		return in.dropTail()
	}
	return nil
}

func (in *Installer) path(f *installFile) string { return filepath.Join(in.dir, f.Name()) }

// remove forgets a file.
func (in *Installer) remove(f *installFile) error {
	if f.raw != nil {
		_ = f.raw.close() // what it holds is of no use
	}
	*f = installFile{ShippedFile: f.ShippedFile}
	return in.s.disk.remove(in.path(f))
}

// need is how many bytes will still be written.
func (in *Installer) need() int64 {
	need := int64(installSlack) + in.m.CheckpointBytes
	for _, f := range in.files {
		need += f.Bytes - f.have
	}
	if in.tail == nil {
		need += in.m.TailBytes + in.m.TailBytes/4
	}
	return need
}

// checkSpace compares what is free with what this and the other installs of the store still need, and books it.
func (in *Installer) checkSpace() error {
	need := in.need()
	free, err := in.s.disk.free(in.dir)
	if err != nil {
		return err
	}
	in.unlooked = 0
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	others := int64(0)
	for o := range in.s.installs {
		if o != in {
			others += o.left
		}
	}
	free = max(free-in.s.reserve.Load(), 0)
	if free < need+others {
		delete(in.s.installs, in)
		return fmt.Errorf("it needs %d MiB, the disk of %s has %d MiB beyond the reserve, and other installs need %d MiB of that: %w",
			need>>20, in.s.dir, free>>20, others>>20, syscall.ENOSPC)
	}
	in.left = need
	in.s.installs[in] = struct{}{}
	return nil
}

// received books bytes that are about to be written, and looks at the space again now and then.
func (in *Installer) received(n int) error {
	if in.unlooked += int64(n); in.unlooked >= spaceEvery {
		return in.checkSpace()
	}
	return nil
}

// Index is up to which entry the manifest goes.
func (in *Installer) Index() uint64 { return in.m.Index }

// Have is how many bytes of file i are there, and whether it is finished.
func (in *Installer) Have(i int) (bytes int64, done bool) { return in.files[i].have, in.files[i].done }

// TailNext is the index from which the tail goes on.
func (in *Installer) TailNext() uint64 {
	if in.tail == nil {
		return in.m.TailFirst
	}
	return in.tail.st.last + 1
}

// Abort gives up and removes what was received.
func (in *Installer) Abort() error {
	if in.over {
		return nil
	}
	return in.wrap("abort", in.abort())
}

func (in *Installer) abort() error {
	defer in.release()
	for _, f := range in.files {
		if f.raw != nil {
			_ = f.raw.close() // it goes
		}
	}
	if in.tail != nil {
		in.tail.file.drop()
	}
	return in.s.disk.removeAll(in.dir)
}

// removeLeftovers takes away what a crash left of installs: it never was a replica.
func (s *Store) removeLeftovers() error {
	dir := s.replicasDir()
	des, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, de := range des {
		if strings.HasSuffix(de.Name(), installSuffix) {
			s.log.Info("removes what is left of an unfinished install", "folder", de.Name())
			if err := s.disk.removeAll(filepath.Join(dir, de.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
