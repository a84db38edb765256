package partition

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/runnel-io/runnel/partition/record"
)

// folded is the state that the log up to an applied index amounts to. Everything here is pure: no clock, no I/O, the same
// on every replica (RULES 12).
type folded struct {
	// next is the offset after the last applied record: the high watermark.
	next int64
	// logStart is the first offset that has not been trimmed; at most next.
	logStart int64
	// lastMS is the newest append time; entries' append times never fall within a log, if leaders keep to it.
	lastMS    int64
	producers producers
}

// outcome says what an entry did, for the metrics and the log.
type outcome struct {
	void, unknown bool
	trimmed       bool
	expired       int
}

// apply takes in one committed entry. Of batches the payload may be nil.
func (f *folded) apply(m record.Meta, payload []byte) outcome {
	f.next = m.Next
	if m.Void {
		return outcome{void: true}
	}
	switch m.Kind {
	case record.KindBatch:
		f.lastMS = max(f.lastMS, m.AppendMS)
		f.producers.fold(m)
	case record.KindCommand:
		f.lastMS = max(f.lastMS, m.AppendMS)
		c, ok := parseCommand(payload)
		if !ok {
			return outcome{unknown: true}
		}
		switch c.kind {
		case commandTrim:
			if to := min(c.arg, f.next); to > f.logStart {
				f.logStart = to
				return outcome{trimmed: true}
			}
		case commandExpire:
			return outcome{expired: f.producers.expire(c.arg)}
		}
	}
	return outcome{}
}

// Checkpointed state, little endian: version (1 byte), lastMS int64, producers uint32, then each producer, by rising id:
// id int64, epoch int16, lastMS int64, batches uint8, and each batch: seq int32, count int32, base int64. Next offset and
// log start are fields of the checkpoint itself. At most about 1 MB at maxProducers.
const (
	stateVersion = 1
	stateHeadLen = 1 + 8 + 4
	producerLen  = 8 + 2 + 8 + 1
	seqBatchLen  = 4 + 4 + 8
)

func (f *folded) encode() []byte {
	b := make([]byte, 0, stateHeadLen+len(f.producers)*(producerLen+seqWindow*seqBatchLen))
	le := binary.LittleEndian
	b = append(b, stateVersion)
	b = le.AppendUint64(b, uint64(f.lastMS))
	b = le.AppendUint32(b, uint32(len(f.producers)))
	for _, id := range slices.Sorted(maps.Keys(f.producers)) {
		p := f.producers[id]
		b = le.AppendUint64(b, uint64(id))
		b = le.AppendUint16(b, uint16(p.epoch))
		b = le.AppendUint64(b, uint64(p.lastMS))
		b = append(b, byte(p.n))
		for _, s := range p.window[:p.n] {
			b = le.AppendUint32(b, uint32(s.seq))
			b = le.AppendUint32(b, uint32(s.count))
			b = le.AppendUint64(b, uint64(s.base))
		}
	}
	return b
}

// decodeFolded reads what encode wrote; an empty state is that of a new partition.
func decodeFolded(next, logStart int64, b []byte) (folded, error) {
	f := folded{next: next, logStart: logStart, producers: producers{}}
	if len(b) == 0 {
		return f, nil
	}
	if b[0] != stateVersion {
		return folded{}, fmt.Errorf("checkpoint state has version %d, this broker reads %d: start the newer version again", b[0], stateVersion)
	}
	damaged := func() (folded, error) {
		return folded{}, fmt.Errorf("checkpoint state of %d bytes is damaged: replace this replica", len(b))
	}
	if len(b) < stateHeadLen {
		return damaged()
	}
	le := binary.LittleEndian
	f.lastMS = int64(le.Uint64(b[1:]))
	n := int(le.Uint32(b[9:]))
	rest := b[stateHeadLen:]
	if n > len(rest)/producerLen {
		return damaged()
	}
	f.producers = make(producers, n)
	for range n {
		if len(rest) < producerLen {
			return damaged()
		}
		id := int64(le.Uint64(rest))
		p := &producer{epoch: int16(le.Uint16(rest[8:])), lastMS: int64(le.Uint64(rest[10:])), n: int(rest[18])}
		rest = rest[producerLen:]
		if p.n < 1 || p.n > seqWindow || len(rest) < p.n*seqBatchLen || f.producers[id] != nil {
			return damaged()
		}
		for i := range p.n {
			p.window[i] = seqBatch{seq: int32(le.Uint32(rest)), count: int32(le.Uint32(rest[4:])), base: int64(le.Uint64(rest[8:]))}
			rest = rest[seqBatchLen:]
		}
		f.producers[id] = p
	}
	if len(rest) != 0 {
		return damaged()
	}
	return f, nil
}
