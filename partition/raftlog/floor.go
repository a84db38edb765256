package raftlog

import (
	"encoding/binary"

	bolt "go.etcd.io/bbolt"

	"github.com/runnel-io/runnel/partition/env/mutant"
)

// The floor keeps a deleted replica from being made again under its id (I19). Deleting removes the only record of the id, and
// a broker that starts again may for a while see a state of the controller from before the deletion, in which the replica is
// wanted: it would vote a second time. So whoever deletes raises the floor first, and whoever makes a replica does so only from
// a state at or above it.

var keyFloor = []byte("floor")

// RaiseFloor makes durable that replicas were deleted here because of a state of this revision.
func (s *Store) RaiseFloor(revision uint64) error {
	s.mu.Lock()
	done := revision <= s.floor
	s.mu.Unlock()
	if done {
		return nil
	}
	if err := s.updateMeta(func(tx *bolt.Tx) error {
		if mutant.On(mutant.DeletedReplicaMadeAgain) {
			return nil
		}
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], revision)
		return putMeta(tx, bucketBroker, keyFloor, b[:])
	}); err != nil {
		return err
	}
	s.mu.Lock()
	s.floor = max(s.floor, revision)
	s.mu.Unlock()
	return nil
}

// Floor is the newest revision given to RaiseFloor.
func (s *Store) Floor() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.floor
}
