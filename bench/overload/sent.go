package main

import (
	"encoding/binary"
	"sync"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Each record of the loads that write says whose it is, so that what was acknowledged can be looked for: its key is the run of the load,
// the producer in it, and a number. A producer numbers its records from its own number on, and number n goes to partition n modulo how many there
// are. So in each partition the numbers of a producer rise by as many.
const (
	keyLen      = 4 + 4 + 8
	sampleEvery = 251 // records of a flood; of the largest requests each is a sample
	mostSamples = 256
)

// sample is an acknowledged record and where it is to be.
type sample struct{ Number, Offset int64 }

// sent is what one producer did. It travels as JSON.
type sent struct {
	Topic         string
	Run, Producer uint32
	// By partition: the highest number that was acknowledged, -1 if none was, and one above the highest offset.
	Highest, End []int64
	// Numbers that were not acknowledged: of the first it is unknown whether they were written, the others were refused.
	Unknown, Refused []int64
	Samples          []sample // the newest ones

	every int64 // so many are acknowledged for one that is a sample
	mu    sync.Mutex
	acked int64
}

func newSent(topic string, run, producer uint32) *sent {
	partitions, every := writtenTo[topic], int64(sampleEvery)
	if topic == largestTopic {
		every = 1
	}
	s := &sent{Topic: topic, Run: run, Producer: producer, every: every, Highest: make([]int64, partitions), End: make([]int64, partitions)}
	for p := range s.Highest {
		s.Highest[p] = -1
	}
	return s
}

func (s *sent) partition(number int64) int32 { return int32(number % int64(len(s.Highest))) }

func (s *sent) key(number int64) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, keyLen), s.Run)
	b = binary.BigEndian.AppendUint32(b, s.Producer)
	return binary.BigEndian.AppendUint64(b, uint64(number))
}

// whose takes a key apart; false if it is none of these loads.
func whose(key []byte) (run, producer uint32, number int64, ok bool) {
	if len(key) != keyLen {
		return 0, 0, 0, false
	}
	return binary.BigEndian.Uint32(key), binary.BigEndian.Uint32(key[4:]), int64(binary.BigEndian.Uint64(key[8:])), true
}

// took notes an acknowledgement.
func (s *sent) took(number, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partition(number)
	s.Highest[p], s.End[p] = max(s.Highest[p], number), max(s.End[p], offset+1)
	if s.acked%s.every == 0 {
		if at := int(s.acked / s.every % mostSamples); at < len(s.Samples) {
			s.Samples[at] = sample{number, offset}
		} else {
			s.Samples = append(s.Samples, sample{number, offset})
		}
	}
	s.acked++
}

// count is how many were acknowledged.
func (s *sent) count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// failed notes that there was none.
func (s *sent) failed(number int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if runnelv1.AsError(err).GetKind() == runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE {
		s.Unknown = append(s.Unknown, number)
	} else {
		s.Refused = append(s.Refused, number)
	}
}
