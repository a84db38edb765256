package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"
)

var (
	bucketBroker     = []byte("broker")     // format, identity, the clean mark
	bucketReplicas   = []byte("replicas")   // group, replica -> metaRecord
	bucketQuarantine = []byte("quarantine") // group, replica -> reason

	keyFormat      = []byte("format")
	keyCluster     = []byte("cluster")
	keyBrokerID    = []byte("broker")
	keyIncarnation = []byte("incarnation")
	keyClean       = []byte("clean")
)

const (
	metaRecordLen = 28

	recordCreated     = 1 << 0
	recordQuarantined = 1 << 1
	recordDeleting    = 1 << 2
)

// replicaID names a replica. Both ids are used once in the life of a cluster.
type replicaID struct{ group, replica uint64 }

func (id replicaID) key() []byte {
	var k [16]byte
	binary.BigEndian.PutUint64(k[:8], id.group)
	binary.BigEndian.PutUint64(k[8:], id.replica)
	return k[:]
}

// metaRecord is what meta.db knows of a replica: everything that must survive a truncation or a roll of its log
// (RULES 1). Commit is never here: ahead of the entries it would panic every restart.
type metaRecord struct {
	flags      byte
	term, vote uint64
}

func (r metaRecord) encode() []byte {
	b := make([]byte, metaRecordLen)
	b[0], b[1] = formatVersion, r.flags
	binary.LittleEndian.PutUint64(b[8:], r.term)
	binary.LittleEndian.PutUint64(b[16:], r.vote)
	binary.LittleEndian.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
	return b
}

func decodeMetaRecord(b []byte) (r metaRecord, err error) {
	if len(b) != metaRecordLen || crc32.Checksum(b[:24], castagnoli) != binary.LittleEndian.Uint32(b[24:]) {
		return r, corruptf("meta.db: a replica's record is damaged")
	}
	return metaRecord{flags: b[1], term: binary.LittleEndian.Uint64(b[8:]), vote: binary.LittleEndian.Uint64(b[16:])}, nil
}

// metaDB group-commits changes of meta.db: whoever comes first commits for all that wait, so an election storm over
// thousands of replicas is a few commits.
type metaDB struct {
	path string
	disk disk
	db   *bolt.DB
	m    *metrics

	mu    sync.Mutex
	queue []*metaOp
	err   error // the first failure: after it nothing may be acknowledged (RULES 2)

	commitMu sync.Mutex // held across the commit; only callers that wait for the disk anyway take it
	stuck    bool       // a panic left a write transaction behind: closing would wait for ever; guarded by commitMu
}

type metaOp struct {
	fn   func(tx *bolt.Tx) error
	done bool // guarded by commitMu
	err  error
}

// update makes fn's changes durable. fn must not fail for reasons of its own: a failure stops the whole store.
func (m *metaDB) update(fn func(tx *bolt.Tx) error) error {
	op := &metaOp{fn: fn}
	m.mu.Lock()
	if m.err != nil {
		defer m.mu.Unlock()
		return m.err
	}
	m.queue = append(m.queue, op)
	m.mu.Unlock()

	m.commitMu.Lock()
	defer m.commitMu.Unlock()
	if op.done {
		return op.err
	}
	m.mu.Lock()
	batch := m.queue
	m.queue = nil
	err := m.err
	m.mu.Unlock()
	if err == nil {
		err = m.commit(batch)
	}
	if err != nil {
		m.mu.Lock()
		if m.err == nil {
			m.err = err
		}
		m.mu.Unlock()
	}
	for _, o := range batch {
		o.done, o.err = true, err
	}
	return err
}

func (m *metaDB) commit(batch []*metaOp) error {
	finished := false
	err := guard(m.path, func() error {
		err := m.transact(batch)
		finished = true
		return err
	})
	m.stuck = !finished
	if err != nil {
		return fmt.Errorf("meta.db: %w", describeIO(err))
	}
	m.m.metaCommits.Inc()
	m.m.metaChanges.Add(float64(len(batch)))
	return nil
}

func (m *metaDB) transact(batch []*metaOp) error {
	tx, err := m.db.Begin(true)
	if err != nil {
		return err
	}
	for _, o := range batch {
		if err := o.fn(tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	if err := m.disk.commit(m.path, tx); err != nil {
		return err
	}
	m.m.synced(tx)
	return nil
}

// close closes the file, once nobody uses it any more.
func (m *metaDB) close() error {
	m.commitMu.Lock()
	defer m.commitMu.Unlock()
	if m.stuck {
		return nil
	}
	return m.db.Close()
}

func (m *metaDB) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// initMeta makes meta.db under a temporary name and moves it into place (RELIABILITY E4).
func initMeta(d disk, dir, path, incarnation string) error {
	tmp := path + ".tmp"
	if err := d.remove(tmp); err != nil {
		return err
	}
	db, err := makeBolt(d.h, tmp, 0)
	if err != nil {
		return err
	}
	err = func() error {
		tx, err := db.Begin(true)
		if err != nil {
			return err
		}
		for _, name := range [][]byte{bucketReplicas, bucketQuarantine, bucketBroker} {
			if _, err := tx.CreateBucket(name); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		err = errors.Join(putMeta(tx, bucketBroker, keyFormat, []byte{formatVersion}), putMeta(tx, bucketBroker, keyIncarnation, []byte(incarnation)))
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return d.commit(tmp, tx)
	}()
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := d.rename(tmp, path); err != nil {
		return err
	}
	return d.syncDir(dir)
}

// openMeta opens meta.db, or makes it with a new incarnation when it is missing.
func openMeta(s *Store, dir, path string, newIncarnation func() (string, error)) (*bolt.DB, error) {
	if _, err := os.Stat(path); err == nil {
		// Whether the last stop was clean stands inside, so this is always done.
		if err := errors.Join(s.disk.settle(path, false), s.disk.syncDir(dir)); err != nil {
			return nil, err
		}
		return s.openMetaFile(path)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	inc, err := newIncarnation()
	if err != nil {
		return nil, err
	}
	if err := initMeta(s.disk, dir, path, inc); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	return s.openMetaFile(path)
}

// openMetaFile opens meta.db and takes space for it.
func (s *Store) openMetaFile(path string) (*bolt.DB, error) {
	db, err := openBolt(s.disk.h, path, 1<<20, false, walkScope{all: true})
	if err == nil {
		s.holdSpace(path)
	}
	return db, err
}

// setMetaAside has an unreadable meta.db count as a wiped disk.
func (s *Store) setMetaAside(path string, why error) error {
	aside := path + ".unreadable"
	s.log.Error("meta.db is unreadable: this broker's disk counts as wiped and gets a new incarnation; the file is kept aside",
		"path", path, "kept", aside, "error", why)
	return s.disk.rename(path, aside)
}

// metaSpace is what is kept free in meta.db: some ten thousand replicas.
const metaSpace = 1 << 20

// holdSpace takes blocks of the disk for what meta.db will write. Any other file that cannot be written for want of space costs its replica
// a pause; this one would cost the broker, since nothing may be acknowledged without it. It is only a precaution: file systems that
// cannot do it, or a disk that is full already, are no reason not to start.
func (s *Store) holdSpace(path string) {
	st, err := os.Stat(path)
	if err == nil {
		err = s.disk.hold(path, 0, st.Size()+metaSpace)
	}
	if err != nil {
		s.log.Warn("no space is held for meta.db: should the disk run full, this broker may have to end", "path", path, "error", err)
	}
}
