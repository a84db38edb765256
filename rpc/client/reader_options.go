package client

import (
	"fmt"
	"time"
)

const (
	defaultReaderBytes = 8 << 20
	minReaderBytes     = 64 << 10
	// maxReaderBytes is the most credit that a broker lets one stream have.
	maxReaderBytes = 64 << 20
)

type readerConfig struct {
	start        At
	partitions   []int32
	toEnd        bool
	resetToStart bool
	skipCorrupt  bool
	onSkip       func(partition int32, from, to int64, err error)
	bytes        int
}

func (c readerConfig) check() error {
	if c.start.kind == atOffset && c.start.offset < 0 {
		return fmt.Errorf("start offset is %d: use 0 or more", c.start.offset)
	}
	if c.bytes < minReaderBytes || c.bytes > maxReaderBytes {
		return fmt.Errorf("reader bytes are %d: use %d to %d", c.bytes, minReaderBytes, maxReaderBytes)
	}
	seen := make(map[int32]bool, len(c.partitions))
	for _, p := range c.partitions {
		if p < 0 {
			return fmt.Errorf("partition is %d: use 0 or more", p)
		}
		if seen[p] {
			return fmt.Errorf("partition %d is named twice: say it once", p)
		}
		seen[p] = true
	}
	return nil
}

// ReaderOption changes a Reader.
type ReaderOption func(*readerConfig)

// FromStart reads from the log start offset. It is the default.
func FromStart() ReaderOption { return func(c *readerConfig) { c.start = AtStart() } }

// FromEnd reads what is written after the reader was opened (Reader.Ready tells when that is).
func FromEnd() ReaderOption { return func(c *readerConfig) { c.start = AtEnd() } }

// FromOffset reads every chosen partition from the offset n.
func FromOffset(n int64) ReaderOption {
	return func(c *readerConfig) { c.start = At{kind: atOffset, offset: n} }
}

// FromTime reads from the first batch that has a record with the timestamp t or a later one.
func FromTime(t time.Time) ReaderOption { return func(c *readerConfig) { c.start = AtTime(t) } }

// Partitions reads these partitions only. Default: all.
func Partitions(ps ...int32) ReaderOption {
	return func(c *readerConfig) { c.partitions = append([]int32(nil), ps...) }
}

// ToEnd ends the iteration at the end that each partition had when the reader was opened.
func ToEnd() ReaderOption { return func(c *readerConfig) { c.toEnd = true } }

// ResetToStart goes on at the log start offset, with a warning in the log, when the position is out of range, for
// instance because retention overtook the reader. Default: an error that names the log start offset.
func ResetToStart() ReaderOption { return func(c *readerConfig) { c.resetToStart = true } }

// SkipCorrupt goes on behind a batch that cannot be read, after calling f (which may be nil) with the offsets from
// (included) to (not included) that are lost to this reader. Default: the iteration ends with the error.
func SkipCorrupt(f func(partition int32, from, to int64, err error)) ReaderOption {
	return func(c *readerConfig) { c.skipCorrupt, c.onSkip = true, f }
}

// ReaderBytes bounds the bytes that brokers send ahead of the iteration, over all partitions. Default 8 MiB.
func ReaderBytes(n int) ReaderOption { return func(c *readerConfig) { c.bytes = n } }
