package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	bolt "go.etcd.io/bbolt"
)

// Committed is what bbolt's transactions came to.
type Committed struct {
	PerSecond float64 // of all committers together
	Took      Latency // of one transaction
}

// pageSize and freelist are those of Runnel's segments.
const pageSize = 4096

// Commit lets so many committers, each with a bbolt file of its own below dir, commit one value of size bytes after
// another for d. A commit is two fdatasyncs: the pages, then the page that makes them count. It is what a record costs
// that travels alone. The files are removed.
func Commit(dir string, committers, size int, d time.Duration) (Committed, error) {
	value := make([]byte, size)
	hist, took, err := together(committers, d, func(i int, until time.Time, hist *hdrhistogram.Histogram) error {
		path := filepath.Join(dir, fmt.Sprintf("bolt-%d", i))
		return errors.Join(commitUntil(path, value, until, hist), os.Remove(path))
	})
	if err != nil {
		return Committed{}, err
	}
	return Committed{PerSecond: float64(hist.TotalCount()) / took.Seconds(), Took: latency(hist)}, nil
}

func commitUntil(path string, value []byte, until time.Time, hist *hdrhistogram.Histogram) (err error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: pageSize, FreelistType: bolt.FreelistMapType, InitialMmapSize: 64 << 20, NoStatistics: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	bucket := []byte("entries")
	if err := db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }); err != nil {
		return err
	}
	for n := uint64(1); time.Now().Before(until); n++ {
		key := binary.BigEndian.AppendUint64(nil, n)
		began := time.Now()
		err := db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucket)
			b.FillPercent = 1 // keys only grow, as a log's do
			return b.Put(key, value)
		})
		if err != nil {
			return err
		}
		record(hist, time.Since(began))
	}
	return nil
}
