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
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Store is one broker's data folder: meta.db and the logs of its replicas. Safe for concurrent use.
type Store struct {
	o    Options
	dir  string
	log  *slog.Logger
	disk disk
	m    *metrics

	reserve  atomic.Int64 // Options.ReserveBytes, as it is now
	lockFile *os.File     // holds the flock on the folder
	meta     *metaDB
	files    fileCache
	tails    tailBudget
	unclean  bool // the last stop was not clean: cached pages go before a file is opened

	fatalOnce sync.Once
	unheld    sync.Once   // the warning that no blocks can be taken ahead
	low       atomic.Bool // as the disk was last seen, it could run full in the midst of a transaction
	unable    atomic.Bool // the file system cannot
	buffers   sync.Pool   // *appendBuffers: shared, so that an idle log keeps none

	mu       sync.Mutex
	identity Identity
	floor    uint64 // see RaiseFloor
	replicas map[replicaID]metaRecord
	// cold are the replicas that were there at the start and have not been opened yet: their files may have to come from the disk.
	cold    map[replicaID]bool
	reasons map[replicaID]string // of quarantine
	open    map[replicaID]*Log   // nil value: being opened
	// installs are under way, with what they still need of the disk.
	installs map[*Installer]struct{}
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
	sealed, active := openFiles(systemLimits())
	setDefault(&o.MaxOpenSealed, sealed)
	setDefault(&o.MaxOpenActive, active)

	s := &Store{
		o: o, dir: o.Dir, log: o.Log.With("component", "raftlog"), disk: disk{o.Hooks},
		reasons:  map[replicaID]string{},
		replicas: map[replicaID]metaRecord{}, cold: map[replicaID]bool{},
		open: map[replicaID]*Log{}, installs: map[*Installer]struct{}{},
	}
	s.reserve.Store(o.ReserveBytes)
	s.tails.max = o.TailBytes
	s.files.sealed.max = o.MaxOpenSealed
	s.files.active.max = o.MaxOpenActive
	_, serr := os.Stat(filepath.Join(s.dir, "meta.db"))
	if err := os.MkdirAll(s.replicasDir(), 0o750); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", s.dir, err)
	}
	if errors.Is(serr, os.ErrNotExist) {
		// The data folder itself may be new, made by this start or by one that was killed: its name and that of the folder in it must last.
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
	if s.m, err = newMetrics(s.o.Registerer, s.o.TailBytes, func() float64 { return float64(s.tails.used.Load()) }); err != nil {
		return err
	}
	s.files.gauge = s.m.openFiles
	if err := s.removeLeftovers(); err != nil {
		return err
	}
	path := filepath.Join(s.dir, "meta.db")
	err = s.start(path)
	if isCorrupt(err) {
		if err := s.setMetaAside(path, err); err != nil {
			return err
		}
		err = s.start(path)
	}
	return err
}

// start reads meta.db and takes it over. After an error it is closed. Damage is a corruptError.
func (s *Store) start(path string) error {
	found, err := s.readMeta(path)
	if err != nil {
		return err
	}
	s.meta = &metaDB{path: path, disk: s.disk, db: found.db, m: s.m}
	if err := s.started(found); err != nil {
		return errors.Join(err, s.meta.close())
	}
	return nil
}

// metaFound is what stands in meta.db at the start.
type metaFound struct {
	db       *bolt.DB
	identity Identity
	floor    uint64
	clean    bool
	replicas map[replicaID]metaRecord
	reasons  map[replicaID]string
	deleting []replicaID
}

// readMeta opens meta.db and reads all of it. Damage is a corruptError, and the file is closed then.
func (s *Store) readMeta(path string) (*metaFound, error) {
	db, err := openMeta(s, s.dir, path, newIncarnation)
	if err != nil {
		return nil, err
	}
	f := &metaFound{db: db, replicas: map[replicaID]metaRecord{}, reasons: map[replicaID]string{}}
	if err := guard(path, func() error { return db.View(f.read) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return f, nil
}

func (f *metaFound) read(tx *bolt.Tx) error {
	b := tx.Bucket(bucketBroker)
	if b == nil || len(b.Get(keyFormat)) != 1 {
		return corruptf("meta.db has no format version")
	}
	if v := b.Get(keyFormat)[0]; v != formatVersion {
		return fmt.Errorf("data folder %s has format %d, this broker knows %d; run the version that wrote it", filepath.Dir(f.db.Path()), v, formatVersion)
	}
	if err := checkSum(tx); err != nil { // not before: another format may have another sum
		return err
	}
	f.identity.ClusterID = string(b.Get(keyCluster))
	f.identity.Incarnation = string(b.Get(keyIncarnation))
	if v := b.Get(keyBrokerID); len(v) == 4 {
		f.identity.BrokerID = int32(binary.LittleEndian.Uint32(v))
	}
	f.clean = b.Get(keyClean) != nil
	if v := b.Get(keyFloor); len(v) == 8 {
		f.floor = binary.LittleEndian.Uint64(v)
	}
	return tx.Bucket(bucketReplicas).ForEach(func(k, v []byte) error {
		if len(k) != 16 {
			return corruptf("meta.db: a replica's key has %d bytes", len(k))
		}
		id := replicaID{binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(k[8:])}
		r, err := decodeMetaRecord(v)
		if err != nil {
			return err
		}
		f.replicas[id] = r
		if r.flags&recordQuarantined != 0 {
			f.reasons[id] = string(tx.Bucket(bucketQuarantine).Get(k))
		}
		if r.flags&recordDeleting != 0 {
			f.deleting = append(f.deleting, id)
		}
		return nil
	})
}

// started takes over what was found, takes the clean mark away and ends the deletions that a stop left half done.
func (s *Store) started(f *metaFound) error {
	s.identity, s.floor, s.unclean = f.identity, f.floor, !f.clean
	s.replicas, s.reasons = f.replicas, f.reasons
	s.cold = map[replicaID]bool{}
	for id := range f.replicas {
		s.cold[id] = true
	}
	if err := s.meta.update(func(tx *bolt.Tx) error { return deleteMeta(tx, bucketBroker, keyClean) }); err != nil {
		return err
	}
	for _, id := range f.deleting {
		if err := s.finishDelete(id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) replicasDir() string { return filepath.Join(s.dir, "replicas") }

func (s *Store) replicaDir(id replicaID) string {
	return filepath.Join(s.replicasDir(), fmt.Sprintf("%016x-%016x", id.group, id.replica))
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
		var n [4]byte
		binary.LittleEndian.PutUint32(n[:], uint32(id.BrokerID))
		return errors.Join(putMeta(tx, bucketBroker, keyCluster, []byte(id.ClusterID)), putMeta(tx, bucketBroker, keyBrokerID, n[:]))
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
	if s.meta.failed() == nil && !(s.o.Tool && s.unclean) {
		errs = append(errs, s.updateMeta(func(tx *bolt.Tx) error { return putMeta(tx, bucketBroker, keyClean, []byte{1}) }))
	}
	if s.meta.failed() == nil {
		errs = append(errs, s.meta.db.Close())
	}
	errs = append(errs, s.lockFile.Close())
	return errors.Join(errs...)
}
