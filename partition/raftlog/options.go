package raftlog

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
)

const (
	defaultSegmentBytes  = 256 << 20
	defaultTailBytes     = 256 << 20
	defaultMaxOpenSealed = 256
	defaultMaxOpenActive = 1024

	// A checkpoint is wanted after this much log since the last one (RULES 6). It bounds what an open must fold.
	checkpointBytes   = 16 << 20
	checkpointEntries = 32768
)

// Options configures a broker's Store.
type Options struct {
	Dir        string // the broker's data folder; created when missing
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil = no metrics
	Clock      env.Clock

	TailBytes     int64 // memory for recent entries, shared by all logs of the broker; default 256 MiB
	SegmentBytes  int64 // default size of a segment in bytes of entries; default 256 MiB
	MaxOpenSealed int   // sealed segment files kept open; default 256, less where the limits of the system are low
	MaxOpenActive int   // unsealed segment files kept open while idle; default 1024, less where the limits are low

	ReserveBytes int64 // bytes that an install leaves free on the disk; default 0. Store.SetReserve changes it

	// Tool is for a program that looks into the folder of a broker that does not run: whether the broker stopped cleanly stays as it is.
	Tool bool

	// Fatal is called once when meta.db itself failed: the broker must stop without another acknowledgement (RULES 2).
	// From then on every Append of every log fails. May be nil. Must not block.
	Fatal func(error)

	Hooks Hooks // test seam
}

// LogOptions configures one replica's Log.
type LogOptions struct {
	SegmentBytes int64         // 0 = the store's default. Log.SetSegments changes both
	SegmentAge   time.Duration // 0 = never roll by age
	// KeepSegments is for a log whose checkpoints hold all that the entries before them say, as the controller's: those entries may
	// go without a trim, but for the newest so many segments, which a replica that was away for a while catches up from. 0 = only
	// a trim lets entries go.
	KeepSegments int

	Spawn    func(run func()) // runs a disk read away from the worker; nil = reads in place
	Ready    func()           // a prefetch ended: poke the worker
	Poisoned func(error)      // called once, from whichever goroutine found the damage; must not block
}

// Identity says whose data folder it is.
type Identity struct {
	ClusterID   string
	BrokerID    int32
	Incarnation string // drawn when meta.db is made; a lost meta.db is a wiped disk and gets a new one
}

// ReplicaInfo is one replica that meta.db knows.
type ReplicaInfo struct {
	Group, Replica uint64
	Quarantine     string // reason; empty = healthy
}

// Write is what one MsgStorageAppend asks to be made durable.
type Write struct {
	Term, Vote uint64 // 0, 0 = unchanged
	Commit     uint64 // 0 = unchanged; never forces a disk write by itself
	Entries    []*raftpb.Entry
}

// Checkpoint is folded state as of an applied index.
type Checkpoint struct {
	Index, Term uint64
	Conf        *raftpb.ConfState
	Next        int64 // next offset after Index
	LogStart    int64 // logical log start offset as of Index
	State       []byte
}

// SegmentInfo describes one segment for retention and catch-up.
type SegmentInfo struct {
	FirstIndex, LastIndex uint64 // LastIndex == FirstIndex-1 when empty
	Base, Next            int64  // offsets [Base, Next)
	LastAppendMS          int64  // broker append time of the last entry that has one
	MaxTimestamp          int64  // running maximum of the batches' timestamps up to the end of this segment
	Bytes                 int64  // bytes of entries
	// Sealed: it is never written again (RULES 4), whether or not Maintain has seen to that yet. Retention may take it.
	Sealed bool
}
