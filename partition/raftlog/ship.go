package raftlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// ErrShipmentOver is returned by calls on a shipment that was closed, whose lease ended, or whose tail was trimmed. Ask for a
// new one: what was received stays of use.
var ErrShipmentOver = errors.New("the shipment is over; ask for a new manifest and go on with what was received")

// ShippedFile is one whole segment of a shipment. Its entries are committed and applied at the source, so its file never changes.
type ShippedFile struct {
	First, Last  uint64 // indexes
	Base, Next   int64  // offsets
	LastAppendMS int64
	RunMax       int64 // running maximum timestamp up to and with Last
	EntryBytes   int64 // of entries
	Bytes        int64 // of the file, as far as bbolt has used it: it grows in steps of 16 MiB
}

// Name is the file's name within a replica's folder.
func (f *ShippedFile) Name() string { return segName(f.First) }

func (f *ShippedFile) summary() segSummary {
	return segSummary{first: f.First, last: f.Last, base: f.Base, next: f.Next, lastAppendMS: f.LastAppendMS, runMax: f.RunMax, bytes: f.EntryBytes}
}

// Manifest says what a shipment is made of: everything from the log's first index up to Index, which the source had applied.
type Manifest struct {
	Group, Replica   uint64 // of the source
	Term             uint64 // of the source: no replica installed from it may have a lower one (RULES 19)
	Index, IndexTerm uint64 // the end of the shipment, and the term of its entry
	Files            []ShippedFile

	// The tail follows the files: entries from TailFirst up to Index, none if TailFirst is above Index.
	TailFirst    uint64
	TailPrevTerm uint64 // of the entry before
	TailBase     int64  // offset of the first record
	TailRunMax   int64  // running maximum timestamp before
	TailBytes    int64  // of entries, at most

	// Checkpoint is the state folded up to Index with the configuration as of it, encoded as on disk. It may take megabytes, so
	// it is not part of the manifest's text.
	Checkpoint      []byte `json:"-"`
	CheckpointBytes int64
}

// Bytes is about how much there is to receive.
func (m *Manifest) Bytes() int64 {
	n := m.TailBytes + m.CheckpointBytes
	for i := range m.Files {
		n += m.Files[i].Bytes
	}
	return n
}

// first is the index at which the shipment begins.
func (m *Manifest) first() uint64 {
	if len(m.Files) > 0 {
		return m.Files[0].First
	}
	return m.TailFirst
}

// Shipment is a consistent view of a log, to install a replica from. Of the segments that can no longer change the one being read is held by an
// open descriptor; what follows them is a short tail of entries, held by a lease (RULES 8). A trim is harmless: it ends the shipment at
// the first file that is gone, and a new one does not have it, since nobody needs what was trimmed. A Shipment is safe for
// concurrent use and must be closed. No call holds up Close for longer than it takes to read what it was asked for.
type Shipment struct {
	l    *Log
	m    Manifest
	hold *hold

	mu     sync.RWMutex // read: a call is under way
	closed bool

	fmu  sync.Mutex  // taken under mu; held across a read
	open []*shipFile // the one read last comes last
}

// Ship takes a view of the log up to c, a checkpoint of what is applied: it brings the folded state and the configuration as of
// c.Index. Want of descriptors is a *ResourceError. It looks into each segment and so blocks on the disk. Any goroutine but the worker.
func (l *Log) Ship(ctx context.Context, c Checkpoint) (*Shipment, error) {
	if err := l.begin(); err != nil {
		return nil, err
	}
	defer l.end()
	raw, err := c.encode()
	if err != nil {
		return nil, err
	}
	for {
		if err := errors.Join(l.failed(), ctx.Err()); err != nil {
			return nil, err
		}
		sh, err := l.ship(ctx, &c)
		if errors.Is(err, os.ErrNotExist) {
			l.mu.Lock()
			moved := l.first > sh.m.first()
			l.mu.Unlock()
			if moved {
				continue // a trim was quicker
			}
			err = corruptf("a segment is missing: %v", err)
		}
		if err != nil {
			return nil, l.readFailed(err)
		}
		sh.m.Checkpoint, sh.m.CheckpointBytes = raw, int64(len(raw))
		return sh, nil
	}
}

// ship is one try; the shipment that comes with an error holds nothing any more.
func (l *Log) ship(ctx context.Context, c *Checkpoint) (*Shipment, error) {
	sh, segs, tail, err := l.planShipment(c)
	if err != nil {
		return sh, err
	}
	fail := func(err error) (*Shipment, error) { return sh, errors.Join(err, sh.Close()) }
	for i := range sh.m.Files {
		f := &sh.m.Files[i]
		select {
		case <-l.closing: // which waits for us, and there may be thousands of them
			return fail(ErrClosed)
		case <-ctx.Done():
			return fail(ctx.Err())
		default:
		}
		if err := segs[i].view(func(tx *bolt.Tx) error { f.Bytes = tx.Size(); return nil }); err != nil {
			return fail(err)
		}
	}
	err = tail.file.view(func(tx *bolt.Tx) error {
		h, err := readSegHeader(tx, l.id, sh.m.TailFirst)
		if err != nil {
			return err
		}
		sh.m.TailPrevTerm, sh.m.TailBase, sh.m.TailRunMax = h.prevTerm, h.base, h.runMax
		return nil
	})
	if err != nil {
		return fail(err)
	}
	return sh, nil
}

// planShipment lists what to ship and takes the lease on the tail. A segment that is not the newest and ends at or below the
// applied index is never written again: no truncation reaches it (RULES 4), whether or not it counts as sealed yet.
func (l *Log) planShipment(c *Checkpoint) (sh *Shipment, segs []*segFile, tail *segment, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sh = &Shipment{l: l}
	if safe := min(max(l.commit, l.applied), l.last); c.Index > safe || c.Index+1 < l.first {
		return sh, nil, nil, fmt.Errorf("ship up to entry %d: the log has %d to %d committed", c.Index, l.first, safe)
	}
	if term := termAt(l.runs, c.Index); term != c.Term {
		return sh, nil, nil, fmt.Errorf("ship up to entry %d: it has term %d, the checkpoint says %d", c.Index, term, c.Term)
	}
	sh.m = Manifest{Group: l.id.group, Replica: l.id.replica, Term: max(l.term, c.Term), Index: c.Index, IndexTerm: c.Term}
	for i, s := range l.segs {
		if s.last < l.first && i < len(l.segs)-1 {
			continue // on its way out
		}
		if i == len(l.segs)-1 || s.last > c.Index {
			tail = s
			break
		}
		segs = append(segs, s.file)
		sh.m.Files = append(sh.m.Files, ShippedFile{
			First: s.first, Last: s.last, Base: s.base, Next: s.next, LastAppendMS: s.lastAppendMS, RunMax: s.runMax, EntryBytes: s.bytes,
		})
	}
	sh.m.TailFirst = tail.first
	if tail.first <= c.Index {
		sh.m.TailBytes = tail.bytes
	}
	sh.hold = l.addHoldLocked(tail.first)
	return sh, segs, tail, nil
}

// Manifest says what there is. It must not be changed.
func (sh *Shipment) Manifest() *Manifest { return &sh.m }

// Close ends the shipment and its lease.
func (sh *Shipment) Close() error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed {
		return nil
	}
	sh.closed = true
	sh.l.dropHold(sh.hold)
	return sh.closeFilesLocked()
}

// Installed ends the shipment because a replica was installed from it. What follows Index stays in the log for a little
// while longer, as far as the lease allows, so that the new replica can be made a learner and get the rest by raft.
func (sh *Shipment) Installed() error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed {
		return nil
	}
	sh.closed = true
	sh.l.lingerHold(sh.hold, sh.m.Index+1)
	return sh.closeFilesLocked()
}

// closeFilesLocked is called under mu, so that no file is being read.
func (sh *Shipment) closeFilesLocked() error {
	var errs []error
	for _, f := range sh.open {
		errs = append(errs, f.f.Close())
	}
	sh.open = nil
	return errors.Join(errs...)
}

// use registers a call, renews the lease, and tells whether the source can still be trusted. Unless it fails, done must be called.
func (sh *Shipment) use() (done func(), err error) {
	sh.mu.RLock()
	if sh.closed {
		sh.mu.RUnlock()
		return nil, ErrShipmentOver
	}
	err = sh.l.failed()
	if err == nil {
		err = sh.l.begin()
	}
	if err != nil {
		sh.mu.RUnlock()
		return nil, err
	}
	sh.l.renewHold(sh.hold)
	return func() {
		sh.l.end()
		sh.mu.RUnlock()
	}, nil
}
