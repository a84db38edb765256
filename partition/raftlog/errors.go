package raftlog

import (
	"errors"
	"fmt"
	"io/fs"
)

// ErrInUse is returned by Open when another process holds the data folder.
var ErrInUse = errors.New("data folder is in use by another broker process; stop it first or choose another folder")

// ErrUnknownReplica is returned by OpenLog for a replica that meta.db does not know: it was never created here, or
// it was deleted.
var ErrUnknownReplica = errors.New("replica is not known on this broker; create it first")

// ErrTrimmed is returned by reads below the log start offset.
var ErrTrimmed = errors.New("offset is below the log start offset; read from the log start")

// ErrClosed is returned by calls on a closed Log or Store.
var ErrClosed = errors.New("raft log is closed")

// QuarantinedError says that a replica may never run again under its id (RULES 2). It ends only by replacement.
type QuarantinedError struct {
	Group, Replica uint64
	Reason         string
}

func (e *QuarantinedError) Error() string {
	return fmt.Sprintf("replica %d of group %d is quarantined (%s); replace it by a new replica", e.Replica, e.Group, e.Reason)
}

// Lasting tells whether what stopped a replica forbids it to run ever again. A full disk and a lack of descriptors or memory do
// not, nor does an entry that only a newer release can read (Passing). A full disk fails the write of new pages, before the meta page that would make them count; that page is overwritten in
// place and needs no space. So a log that is opened again is as it was before (E5), and the replica stops only until then. A sync that fails for want of
// space is as bad as any other that fails.
func Lasting(err error) bool {
	var r *ResourceError
	var p Passing
	var of *fs.PathError
	if errors.As(err, &of) && of.Op == "sync" {
		return true
	}
	return !errors.As(err, &r) && !errors.As(err, &p) && !noSpace(err)
}

// Passing marks an error that stops a replica and says nothing against its log: another release of this broker may go on with it.
type Passing interface {
	error
	Passing()
}

// PoisonedError is returned by every call on a Log after its first I/O or checksum error. What the failed commit
// wrote is indeterminate: nothing may be acknowledged on account of it, and it must not be tried again.
type PoisonedError struct {
	Group, Replica uint64
	Err            error
}

func (e *PoisonedError) Error() string {
	return fmt.Sprintf("log of replica %d of group %d is poisoned: %v; replace the replica and check the disk", e.Replica, e.Group, e.Err)
}

// Unwrap gives the first error that poisoned the log.
func (e *PoisonedError) Unwrap() error { return e.Err }

// corruptError marks damage that was found in stored bytes, as opposed to a failure to get at them (too many open
// files, no permission). Only the former quarantines a replica at open.
type corruptError struct{ msg string }

func (e *corruptError) Error() string { return e.msg }

func corruptf(format string, args ...any) error {
	return &corruptError{msg: fmt.Sprintf(format, args...)}
}

func isCorrupt(err error) bool {
	var c *corruptError
	return errors.As(err, &c)
}
