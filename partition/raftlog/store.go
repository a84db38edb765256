package raftlog

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"sync"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"
	"golang.org/x/sys/unix"
)

// Store is one broker's data folder: meta.db and the logs of its replicas. Safe for concurrent use.
type Store struct {
	o    Options
	dir  string
	log  *slog.Logger
	disk disk
	m    *metrics

	lockFile *os.File // holds the flock on the folder
	meta     *metaDB
	files    fileCache
	tails    tailBudget
	unclean  bool // the last stop was not clean: cached pages go before a file is opened

	fatalOnce sync.Once

	mu       sync.Mutex
	identity Identity
	replicas map[replicaID]metaRecord
	reasons  map[replicaID]string // of quarantine
	open     map[replicaID]*Log   // nil value: being opened
	closed   bool
}

// Open locks and opens a broker's data folder, and makes it when it is missing. Errors: ErrInUse; a newer format; no
// permission. A missing or unreadable meta.db is a wiped disk and gets a new incarnation.
func Open(o Options) (*Store, error) {
	if o.Dir == "" || o.Clock == nil {
		return nil, errors.New("raftlog: a folder and a clock are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.TailBytes, defaultTailBytes)
	setDefault(&o.SegmentBytes, defaultSegmentBytes)
	setDefault(&o.MaxOpenSealed, defaultMaxOpenSealed)
	setDefault(&o.MaxOpenActive, defaultMaxOpenActive)

	s := &Store{
		o: o, dir: o.Dir, log: o.Log.With("component", "raftlog"), disk: disk{o.Hooks},
		reasons:  map[replicaID]string{},
		replicas: map[replicaID]metaRecord{},
		open:     map[replicaID]*Log{},
	}
	s.tails.max = o.TailBytes
	s.files.sealed.max = o.MaxOpenSealed
	s.files.active.max = o.MaxOpenActive
	_, serr := os.Stat(filepath.Join(s.dir, "replicas"))
	if err := os.MkdirAll(filepath.Join(s.dir, "replicas"), 0o750); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", s.dir, err)
	}
	if errors.Is(serr, os.ErrNotExist) {
		// The data folder itself may be new: its name and that of the folder in it must last.
		if err := errors.Join(s.disk.syncDir(s.dir), s.disk.syncDir(filepath.Dir(filepath.Clean(s.dir)))); err != nil {
			return nil, err
		}
	}
	if err := s.lock(); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.lockFile.Close())
	}
	return s, nil
}

func setDefault[T int | int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (s *Store) lock() error {
	f, err := os.OpenFile(filepath.Join(s.dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return fmt.Errorf("data folder %s must be writable: %w", s.dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return errors.Join(fmt.Errorf("data folder %s: %w", s.dir, err), f.Close())
	}
	s.lockFile = f
	return nil
}

func newIncarnation() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(b[:]), nil
}

// load reads meta.db, takes the clean mark away and ends what a crash left half done.
func (s *Store) load() error {
	var err error
	if s.m, err = newMetrics(s.o.Registerer, func() float64 { return float64(s.tails.used.Load()) }); err != nil {
		return err
	}
	s.files.gauge = s.m.openFiles
	path := filepath.Join(s.dir, "meta.db")
	db, err := openMeta(s, s.dir, path, newIncarnation)
	if err != nil {
		return err
	}
	s.meta = &metaDB{path: path, disk: s.disk, db: db, m: s.m}
	if err := s.loadMeta(); err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

func (s *Store) loadMeta() error {
	var deleting []replicaID
	err := guard(s.meta.path, func() error {
		return s.meta.db.View(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketBroker)
			if b == nil || len(b.Get(keyFormat)) != 1 {
				return corruptf("meta.db has no format version")
			}
			if v := b.Get(keyFormat)[0]; v != formatVersion {
				return fmt.Errorf("data folder %s has format %d, this broker knows %d; run the version that wrote it", s.dir, v, formatVersion)
			}
			s.identity.ClusterID = string(b.Get(keyCluster))
			s.identity.Incarnation = string(b.Get(keyIncarnation))
			if v := b.Get(keyBrokerID); len(v) == 4 {
				s.identity.BrokerID = int32(binary.LittleEndian.Uint32(v))
			}
			s.unclean = b.Get(keyClean) == nil
			return tx.Bucket(bucketReplicas).ForEach(func(k, v []byte) error {
				id := replicaID{binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(k[8:])}
				r, err := decodeMetaRecord(v)
				if err != nil {
					return err
				}
				s.replicas[id] = r
				if r.flags&recordQuarantined != 0 {
					s.reasons[id] = string(tx.Bucket(bucketQuarantine).Get(k))
				}
				if r.flags&recordDeleting != 0 {
					deleting = append(deleting, id)
				}
				return nil
			})
		})
	})
	if err != nil {
		return err
	}
	if err := s.meta.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketBroker).Delete(keyClean) }); err != nil {
		return err
	}
	for _, id := range deleting {
		if err := s.finishDelete(id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) replicaDir(id replicaID) string {
	return filepath.Join(s.dir, "replicas", fmt.Sprintf("%016x-%016x", id.group, id.replica))
}

// Identity returns whose folder this is.
func (s *Store) Identity() Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity
}

// SetIdentity makes cluster and broker id durable. The incarnation cannot be changed: an empty one means the same.
func (s *Store) SetIdentity(id Identity) error {
	s.mu.Lock()
	inc := s.identity.Incarnation
	s.mu.Unlock()
	if id.Incarnation == "" {
		id.Incarnation = inc
	}
	if id.Incarnation != inc {
		return fmt.Errorf("this folder's incarnation is %s, not %s; it changes only when meta.db is made anew", inc, id.Incarnation)
	}
	err := s.updateMeta(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketBroker)
		var n [4]byte
		binary.LittleEndian.PutUint32(n[:], uint32(id.BrokerID))
		return errors.Join(b.Put(keyCluster, []byte(id.ClusterID)), b.Put(keyBrokerID, n[:]))
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.identity = id
	s.mu.Unlock()
	return nil
}

// updateMeta is metaDB.update, telling the broker to stop when meta.db failed.
func (s *Store) updateMeta(fn func(tx *bolt.Tx) error) error {
	err := s.meta.update(fn)
	if err != nil {
		s.fatalOnce.Do(func() {
			s.log.Error("meta.db failed: nothing is acknowledged from here on, the broker must stop", "error", err)
			if s.o.Fatal != nil {
				s.o.Fatal(err)
			}
		})
	}
	return err
}

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
		if reason != "" {
			if err := tx.Bucket(bucketQuarantine).Put(id.key(), []byte(reason)); err != nil {
				return err
			}
		}
		return b.Put(id.key(), r.encode())
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
		createdMS: s.o.Clock.Now().UnixMilli(), runs: []termRun{{1, 1}},
	}
	f, err := s.createSegment(dir, h, cp, 1, s.o.SegmentBytes)
	if err != nil {
		return err
	}
	f.drop()
	return s.disk.syncDir(filepath.Dir(dir))
}

// Delete removes a replica and its data. Call it only for a committed command (RULES 20). The log must be closed.
// Deleting an unknown replica does nothing.
func (s *Store) Delete(group, replica uint64) error {
	id := replicaID{group, replica}
	s.mu.Lock()
	_, known := s.replicas[id]
	_, busy := s.open[id]
	s.mu.Unlock()
	if !known {
		return nil
	}
	if busy {
		return fmt.Errorf("delete replica %d of group %d: its log is open; stop the replica first", replica, group)
	}
	if err := s.changeRecord(id, func(r *metaRecord) { r.flags |= recordDeleting }, ""); err != nil {
		return err
	}
	return s.finishDelete(id)
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
		return errors.Join(tx.Bucket(bucketReplicas).Delete(id.key()), tx.Bucket(bucketQuarantine).Delete(id.key()))
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

// Close closes all logs, marks the stop as clean and unlocks the folder.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var logs []*Log
	for _, l := range s.open {
		if l != nil {
			logs = append(logs, l)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, l := range logs {
		errs = append(errs, l.Close())
	}
	if s.meta.failed() == nil {
		errs = append(errs, s.updateMeta(func(tx *bolt.Tx) error { return tx.Bucket(bucketBroker).Put(keyClean, []byte{1}) }))
	}
	if s.meta.failed() == nil {
		errs = append(errs, s.meta.db.Close())
	}
	errs = append(errs, s.lockFile.Close())
	return errors.Join(errs...)
}
