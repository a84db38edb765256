package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env/mutant"
)

// Replicas lists the replicas that were created here, in order of group and replica.
func (s *Store) Replicas() []ReplicaInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]ReplicaInfo, 0, len(s.replicas))
	for id := range s.replicas {
		out = append(out, ReplicaInfo{Group: id.group, Replica: id.replica, Quarantine: s.reasons[id]})
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Group != out[j].Group {
			return out[i].Group < out[j].Group
		}
		return out[i].Replica < out[j].Replica
	})
	return out
}

// Quarantine marks a replica as never to run again under its id (RULES 2). Durable on return.
func (s *Store) Quarantine(group, replica uint64, reason string) error {
	id := replicaID{group, replica}
	s.mu.Lock()
	r, known := s.replicas[id]
	if !known {
		s.mu.Unlock()
		return fmt.Errorf("quarantine replica %d of group %d: %w", replica, group, ErrUnknownReplica)
	}
	if r.flags&recordQuarantined != 0 {
		s.mu.Unlock()
		return nil
	}
	l := s.open[id]
	s.mu.Unlock()
	if reason == "" {
		reason = "no reason given"
	}
	if err := s.recordQuarantine(id, reason); err != nil {
		return err
	}
	if l != nil {
		l.poison(&QuarantinedError{Group: group, Replica: replica, Reason: reason})
	}
	return nil
}

func (s *Store) recordQuarantine(id replicaID, reason string) error {
	if err := s.changeRecord(id, func(r *metaRecord) { r.flags |= recordQuarantined }, reason); err != nil {
		return fmt.Errorf("quarantine replica %d of group %d: %w", id.replica, id.group, err)
	}
	s.log.Error("replica is quarantined; replace it", "group", id.group, "replica", id.replica, "reason", reason)
	return nil
}

// changeRecord edits one replica's record in the group's transaction, so that concurrent edits of one record compose.
func (s *Store) changeRecord(id replicaID, edit func(*metaRecord), reason string) error {
	var now metaRecord
	err := s.updateMeta(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketReplicas)
		var r metaRecord
		if v := b.Get(id.key()); v != nil {
			var err error
			if r, err = decodeMetaRecord(v); err != nil {
				return err
			}
		}
		edit(&r)
		now = r
		if mutant.On(mutant.QuarantineNotDurable) && r.flags&recordQuarantined != 0 {
			return nil
		}
		if reason != "" {
			if err := putMeta(tx, bucketQuarantine, id.key(), []byte(reason)); err != nil {
				return err
			}
		}
		return putMeta(tx, bucketReplicas, id.key(), r.encode())
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.replicas[id] = now
	if reason != "" {
		s.reasons[id] = reason
	}
	s.mu.Unlock()
	return nil
}

// Create makes a replica's folder with the founding checkpoint at index 1, term 1 (RULES 3), then records it. Calling
// it again for a known replica does nothing. A folder that meta.db does not know never ran and is made anew.
func (s *Store) Create(group, replica uint64, cs *raftpb.ConfState) error {
	id := replicaID{group, replica}
	s.mu.Lock()
	r, known := s.replicas[id]
	_, busy := s.open[id]
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	if known {
		s.mu.Unlock()
		if r.flags&recordDeleting != 0 {
			return fmt.Errorf("replica %d of group %d is being deleted; its id cannot be used again", replica, group)
		}
		return nil
	}
	if busy {
		s.mu.Unlock()
		return fmt.Errorf("replica %d of group %d is being created already", replica, group)
	}
	s.open[id] = nil
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.open, id)
		s.mu.Unlock()
	}()
	if err := s.createDir(id, cs); err != nil {
		return fmt.Errorf("create replica %d of group %d: %w", replica, group, err)
	}
	return s.changeRecord(id, func(r *metaRecord) { *r = metaRecord{flags: recordCreated, term: 1} }, "")
}

func (s *Store) createDir(id replicaID, cs *raftpb.ConfState) error {
	dir := s.replicaDir(id)
	if err := s.disk.removeAll(dir); err != nil {
		return err
	}
	if err := s.disk.mkdir(dir); err != nil {
		return err
	}
	cp := &Checkpoint{Index: 1, Term: 1, Conf: raftpb.EnsureConfState(cs)}
	h := &segHeader{
		group: id.group, replica: id.replica, first: 2, prevTerm: 1, runMax: -1,
		createdMS: s.o.Clock.Wall().UnixMilli(), runs: []termRun{{1, 1}},
	}
	f, err := s.createSegment(dir, h, cp, 1, s.o.SegmentBytes)
	if err != nil {
		return err
	}
	f.drop()
	return s.disk.syncDir(filepath.Dir(dir))
}

// Delete removes a replica and its data. Call it only for a committed command (RULES 20). The log must be closed, and an install of it
// over. Of an unknown replica it removes what a failed install may have left.
func (s *Store) Delete(group, replica uint64) error {
	id := replicaID{group, replica}
	s.mu.Lock()
	_, known := s.replicas[id]
	_, busy := s.open[id]
	switch {
	case s.closed:
		s.mu.Unlock()
		return ErrClosed
	case busy:
		s.mu.Unlock()
		return fmt.Errorf("delete replica %d of group %d: it is in use, open or being made or installed; end that first", replica, group)
	}
	s.open[id] = nil // nobody opens or installs it meanwhile
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.open, id)
		s.mu.Unlock()
	}()
	if !known {
		return s.removeStray(id)
	}
	if err := s.changeRecord(id, func(r *metaRecord) { r.flags |= recordDeleting }, ""); err != nil {
		return err
	}
	return s.finishDelete(id)
}

// removeStray removes the folders of a replica that meta.db does not know, if there are any.
func (s *Store) removeStray(id replicaID) error {
	dir := s.replicaDir(id)
	for _, d := range []string{dir, dir + installSuffix} {
		if _, err := os.Stat(d); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := errors.Join(s.disk.removeAll(d), s.disk.syncDir(filepath.Dir(d))); err != nil {
			return fmt.Errorf("remove what is left of replica %d of group %d: %w", id.replica, id.group, err)
		}
	}
	return nil
}

// finishDelete removes the folder before the record: the other way round a crash would leave data nobody knows.
func (s *Store) finishDelete(id replicaID) error {
	dir := s.replicaDir(id)
	if err := s.disk.removeAll(dir); err != nil {
		return fmt.Errorf("delete replica %d of group %d: %w", id.replica, id.group, err)
	}
	if err := s.disk.syncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	err := s.updateMeta(func(tx *bolt.Tx) error {
		return errors.Join(deleteMeta(tx, bucketReplicas, id.key()), deleteMeta(tx, bucketQuarantine, id.key()))
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.replicas, id)
	delete(s.reasons, id)
	s.mu.Unlock()
	return nil
}
