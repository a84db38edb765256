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
	Client int
	// Producer counts a client's producers of one partition. A client that has given up a record of unknown fate goes on as another
	// producer, so the record may still turn up behind later ones.
	Producer  int
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
	From      int64 // where the reader asked to begin; the same in all that it got of the partition
	Offset    int64
	Value     string
}

// End is an answer to "where does the partition end?".
type End struct {
	Client         int
	Partition      int32
	Invoke, Return time.Duration // Return 0: not recorded
	Offset         int64
}

// Start is an answer to "where does the partition begin?".
type Start struct {
	Partition int32
	Offset    int64
}

// Leader is somebody's word that a broker leads a partition in a term.
type Leader struct {
	Partition int32
	Term      int64
	Broker    int32
}

// TopicOp is the creation or the deletion of a topic. Names are used once in a run.
type TopicOp struct {
	Client         int
	Name           string
	Delete         bool
	Invoke, Return time.Duration
	Outcome        Outcome
	Error          string // the client's words for what is not OK
}

// Batch is one stored batch: records that must be there together.
type Batch struct {
	Base  int64 // offset of its first record
	Count int32
	Term  int32 // of the leader that took it
}

// Log is a partition's records at rest, from Start to HighWatermark.
type Log struct {
	Start, HighWatermark int64
	Values               []string // Values[i] is at Start+i
	Batches              []Batch  // in their order; the first may begin before Start. nil: not looked at
	Bytes                int64    // of Batches as they are stored
}

// Keep is what retention must leave of a partition at least: so many bytes of batches as they are stored, counting so many more for each.
type Keep struct{ Bytes, PerBatch int64 }

// History is everything that was seen in a run.
type History struct {
	Appends []Append
	Reads   []Read
	Ends    []End
	Starts  []Start
	Leaders []Leader
	Topics  []TopicOp
	Final   map[int32]Log
	// Keep tells, per partition, what retention must leave. One that is not named may lose nothing.
	Keep map[int32]Keep
	// Replicas holds, per partition, a hash of each replica's log at rest, by broker.
	Replicas map[int32]map[int32]string
	// FinalTopics names the topics that exist at rest. nil: not looked at.
	FinalTopics map[string]bool
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

// note adds to one of the lists of r's history.
func note[T any](r *Recorder, list *[]T, x T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, x)
}

// Append adds one append.
func (r *Recorder) Append(a Append) { note(r, &r.h.Appends, a) }

// Read adds one record that was read.
func (r *Recorder) Read(x Read) { note(r, &r.h.Reads, x) }

// End adds an end offset that was answered.
func (r *Recorder) End(e End) { note(r, &r.h.Ends, e) }

// Start adds a log start that was answered.
func (r *Recorder) Start(s Start) { note(r, &r.h.Starts, s) }

// Leader adds what somebody said of a leader.
func (r *Recorder) Leader(l Leader) { note(r, &r.h.Leaders, l) }

// Topic adds the creation or deletion of a topic.
func (r *Recorder) Topic(o TopicOp) { note(r, &r.h.Topics, o) }

// History is what was recorded so far.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.h
}
