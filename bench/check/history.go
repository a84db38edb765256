package check

import (
	"fmt"
	"sync"
	"time"
)

// Outcome is how an append ended for its client.
type Outcome uint8

// The outcomes. Info: the client does not know.
const (
	Info Outcome = iota
	OK
	Fail
)

// Append is one record's append. Times are since the run's start.
type Append struct {
	Client    int
	Sequence  int64 // rises per client and partition in the order of sending
	Partition int32
	Invoke    time.Duration
	Return    time.Duration // only of OK and Fail
	Outcome   Outcome
	Offset    int64 // only of OK
}

// Value is what the record holds: unique in the run.
func (a Append) Value() string { return fmt.Sprintf("%d:%d:%d", a.Client, a.Partition, a.Sequence) }

// Read is one record that a reader got, in the order of its getting.
type Read struct {
	Reader    int
	Partition int32
	Offset    int64
	Value     string
}

// End is an answer to "where does the partition end?".
type End struct {
	Partition int32
	Invoke    time.Duration
	Offset    int64
}

// Log is a partition's records at rest, from Start to HighWatermark.
type Log struct {
	Start, HighWatermark int64
	Values               []string // Values[i] is at Start+i
}

// History is everything that was seen in a run.
type History struct {
	Appends []Append
	Reads   []Read
	Ends    []End
	Final   map[int32]Log
	// Replicas holds, per partition, a hash of each replica's log at rest, by broker.
	Replicas map[int32]map[int32]string
}

// Recorder collects a history from many goroutines.
type Recorder struct {
	start time.Time

	mu sync.Mutex
	h  History
}

// NewRecorder starts a run.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// Now is the time since the run's start.
func (r *Recorder) Now() time.Duration { return time.Since(r.start) }

// Append adds one append.
func (r *Recorder) Append(a Append) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Appends = append(r.h.Appends, a)
}

// Read adds one record that was read.
func (r *Recorder) Read(x Read) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Reads = append(r.h.Reads, x)
}

// End adds an end offset that was answered.
func (r *Recorder) End(e End) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Ends = append(r.h.Ends, e)
}

// History is what was recorded so far.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.h
}
