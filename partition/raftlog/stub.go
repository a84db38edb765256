package raftlog

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/record"
)

type Hooks struct{}
type Store struct{}
type Log struct{}

func Open(o Options) (*Store, error)                                      { panic("soon") }
func (s *Store) Identity() Identity                                       { panic("soon") }
func (s *Store) SetIdentity(Identity) error                               { panic("soon") }
func (s *Store) Replicas() []ReplicaInfo                                  { panic("soon") }
func (s *Store) Create(group, replica uint64, cs *raftpb.ConfState) error { panic("soon") }
func (s *Store) OpenLog(group, replica uint64, o LogOptions) (*Log, error) {
	panic("soon")
}
func (s *Store) Quarantine(group, replica uint64, reason string) error { panic("soon") }
func (s *Store) Delete(group, replica uint64) error                    { panic("soon") }
func (s *Store) Close() error                                          { panic("soon") }

func (l *Log) Append(ws []Write) error              { panic("soon") }
func (l *Log) Maintain() error                      { panic("soon") }
func (l *Log) SetApplied(index uint64)              { panic("soon") }
func (l *Log) WantsCheckpoint() bool                { panic("soon") }
func (l *Log) OfferCheckpoint(c Checkpoint)         { panic("soon") }
func (l *Log) Trim(logStart int64) (maintain bool)  { panic("soon") }
func (l *Log) Checkpoint() Checkpoint               { panic("soon") }
func (l *Log) FoldTo() uint64                       { panic("soon") }
func (l *Log) FoldEntries(from, to uint64, f func(m record.Meta, data []byte) error) error {
	panic("soon")
}
func (l *Log) ReadBatches(offset, limit int64, maxBytes int, dst []byte) (out []byte, next int64, err error) {
	panic("soon")
}
func (l *Log) BatchAtTime(tsMS int64, limit int64) (base int64, found bool, err error) {
	panic("soon")
}
func (l *Log) StartOffset() int64      { panic("soon") }
func (l *Log) LastNext() int64         { panic("soon") }
func (l *Log) Segments() []SegmentInfo { panic("soon") }
func (l *Log) Close() error            { panic("soon") }

func (l *Log) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) { panic("soon") }
func (l *Log) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error)     { panic("soon") }
func (l *Log) Term(i uint64) (uint64, error)                               { panic("soon") }
func (l *Log) LastIndex() (uint64, error)                                  { panic("soon") }
func (l *Log) FirstIndex() (uint64, error)                                 { panic("soon") }
func (l *Log) Snapshot() (*raftpb.Snapshot, error)                         { panic("soon") }
