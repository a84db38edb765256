package stream

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/runnel-io/runnel/bench/source"
	"github.com/runnel-io/runnel/rpc/client"
)

// A probe is its kind, its partition and its number there.
const (
	kindProbe = 'P'
	probeLen  = 1 + 4 + 4
)

func encodeProbe(partition int32, seq uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kindProbe}, uint32(partition))
	return binary.BigEndian.AppendUint32(b, seq)
}

// checker is what one reader has got.
type checker struct {
	next []atomic.Int64 // by partition: the next offset wanted

	mu               sync.Mutex // for those who look while the reader goes on
	files            source.Collector
	probes           []uint32 // by partition: number of the next one wanted
	lost, duplicated int64    // probes
	records          int64
}

func newChecker(partitions int32) *checker {
	return &checker{probes: make([]uint32, partitions), next: make([]atomic.Int64, partitions)}
}

// add takes the next record of a reader that began at the start.
func (c *checker) add(r *client.Record) error {
	if int(r.Partition) >= len(c.next) {
		return fmt.Errorf("a record of partition %d of %d", r.Partition, len(c.next))
	}
	next := &c.next[r.Partition]
	if want := next.Load(); r.Offset != want {
		return fmt.Errorf("partition %d: read offset %d, wanted %d", r.Partition, r.Offset, want)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records++
	next.Store(r.Offset + 1)
	if len(r.Value) != probeLen || r.Value[0] != kindProbe {
		return c.files.Add(r.Key, r.Value)
	}
	if p := binary.BigEndian.Uint32(r.Value[1:]); p != uint32(r.Partition) {
		return fmt.Errorf("partition %d holds a record for partition %d", r.Partition, p)
	}
	want, seq := &c.probes[r.Partition], binary.BigEndian.Uint32(r.Value[5:])
	if seq < *want {
		c.duplicated++
		return nil
	}
	c.lost += int64(seq - *want)
	*want = seq + 1
	return nil
}

// seen counts what was missing and what came again, so far.
func (c *checker) seen() (lost, duplicated int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost + c.files.Lost, c.duplicated + c.files.Duplicated
}

// Verdict is what a reader found at the end.
type Verdict struct {
	Records          int64
	Files, Identical int
	Lost, Duplicated int64
	Changed          string // the first file that did not come back as it was
}

// Err is nil if everything sent came back once, as it was.
func (v Verdict) Err() error {
	switch {
	case v.Lost != 0 || v.Duplicated != 0:
		return fmt.Errorf("%d records lost, %d duplicated", v.Lost, v.Duplicated)
	case v.Identical != v.Files:
		return fmt.Errorf("%d of %d files came back as they were; %s did not", v.Identical, v.Files, v.Changed)
	}
	return nil
}

// finish compares with what was sent: so many files, and of each partition so many probes.
func (c *checker) finish(files []*source.File, sent int, probes []uint32) Verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, n := range probes {
		if c.probes[p] < n {
			c.lost += int64(n - c.probes[p])
		}
	}
	v := Verdict{Records: c.records, Files: sent}
	v.Identical, v.Changed = c.files.Compare(files, sent)
	v.Lost, v.Duplicated = c.lost+c.files.Lost, c.duplicated+c.files.Duplicated
	return v
}
