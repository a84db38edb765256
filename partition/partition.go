package partition

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Config is what a Partition needs.
type Config struct {
	Env            *env.Env
	Topic          string
	Number         int32
	Group, Replica uint64
	Settings       Settings
	// Budget is the broker's; it only sets the bound of this partition's queue (see Budget). Nil: 64 MiB.
	Budget *Budget
	// Metrics may be nil.
	Metrics *Metrics
	// DiskFull tells whether free space is below the broker's reserve: batches are then refused. It is called for each
	// batch and must be quick. Nil: never.
	DiskFull func() bool
}

// raftGroup is what a partition needs of its group; *multiraft.Group is one.
type raftGroup interface {
	// Wake has Turn called soon.
	Wake()
	// ReadIndex calls done on the worker once everything committed at the time of the call is applied.
	ReadIndex(done func(index uint64, err error))
	// Status is a cheap snapshot.
	Status() multiraft.Status
	// Healthy is nil, or why the replica serves no longer.
	Healthy() error
	// OutOfSpace tells whether a write waits for space on the disk.
	OutOfSpace() bool
	// Trim has the log follow the folded log start. Only for calls from the Machine's methods.
	Trim(logStart int64)
}

// storedLog is what a partition needs of its log; *raftlog.Log is one.
type storedLog interface {
	ReadBatches(offset, limit int64, maxBytes int, dst []byte) (out []byte, next int64, err error)
	BatchAtTime(tsMS int64, limit int64) (base int64, found bool, err error)
	Segments() []raftlog.SegmentInfo
}

// attached is a partition's group and log, known once the group was started.
type attached struct {
	group raftGroup
	log   storedLog
}

// Partition is one replica. Make it with New, give it to multiraft as the group's Machine, then Attach the group.
type Partition struct {
	cfg     Config
	name    string // topic/number, for errors and logs
	log     *slog.Logger
	metrics *Metrics
	counts  *TopicCounts // of its topic; only added to

	settings atomic.Pointer[Settings]
	attached atomic.Pointer[attached]
	// hw and logStart are what has been published; neither falls.
	hw, logStart atomic.Int64
	// leading: in session, and not cut off from most brokers.
	leading atomic.Bool
	// stopping is set for good by Stop, under mu.
	stopping atomic.Bool
	// producerCount is as of the last Applied.
	producerCount atomic.Int64

	waiters waiters
	beyond  beyondEnd

	// mu guards what producers and the worker share. No callback is called with it held.
	mu sync.Mutex
	// queue holds batches that no turn has taken.
	queue       []*pending
	queuedBytes int64
	inSession   bool
	wishes      wishes
	overdue     overdue
	refire      atomic.Int32 // ticks at which to wake waiters again

	ticks ticks // owned by the caller of Tick

	// What follows is the worker's.
	folded   folded
	sess     session
	inflight inflight
	acked    []*pending // applied since the last Applied
	turn     turn
	doubted  []*doubtful
	trimDue  bool // the log start moved and the group has not been told
}

var _ multiraft.Machine = (*Partition)(nil)

const defaultQueueLimit = 64 << 20

// New makes a partition that serves nothing until multiraft restored it and Attach was called.
func New(c Config) *Partition {
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	log := c.Env.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Partition{
		cfg: c, name: fmt.Sprintf("%s/%d", c.Topic, c.Number), metrics: c.Metrics, counts: c.Metrics.topics.get(c.Topic),
		log:      log.With("component", "partition", "topic", c.Topic, "partition", c.Number, "replica", c.Replica),
		folded:   folded{producers: producers{}},
		inflight: newInflight(),
	}
	p.SetSettings(c.Settings)
	return p
}

// diskFull tells whether records are refused for want of space: below the reserve, or because what was taken before finds none. Cheap.
func (p *Partition) diskFull() bool {
	if p.cfg.DiskFull != nil && p.cfg.DiskFull() {
		return true
	}
	a := p.attached.Load()
	return a != nil && a.group.OutOfSpace()
}

// Attach gives the partition its group, once, after StartGroup.
func (p *Partition) Attach(g *multiraft.Group) { p.attach(g, g.Log()) }

func (p *Partition) attach(g raftGroup, l storedLog) {
	p.attached.Store(&attached{group: g, log: l})
	g.Wake()
}

// SetSettings changes the settings of the running partition.
func (p *Partition) SetSettings(s Settings) {
	if s == (Settings{}) {
		s = DefaultSettings()
	}
	p.settings.Store(&s)
}

// Limits are what record.Validate needs before Produce.
func (p *Partition) Limits() record.Limits {
	s := p.settings.Load()
	return record.Limits{MaxBytes: s.batchBytes(), SkipCount: s.SkipCountCheck}
}

// Counts are those of the partition's topic.
func (p *Partition) Counts() *TopicCounts { return p.counts }

// StartOffset is the log start: the first offset that can be read.
func (p *Partition) StartOffset() int64 { return p.logStart.Load() }

// HighWatermark is the first offset that is not known here as committed. On a leader it may lag what a newer leader has
// acknowledged: EndOffset does not.
func (p *Partition) HighWatermark() int64 { return p.hw.Load() }

// Stop ends service: batches that are only queued and later ones are refused, and waiters are woken. Batches in flight
// are answered until the group stops. It does not stop the group.
func (p *Partition) Stop() {
	p.mu.Lock()
	p.stopping.Store(true)
	queued := p.takeQueueLocked()
	p.mu.Unlock()
	p.failAll(queued, p.stoppingError())
	p.waiters.close()
}

func (p *Partition) wake() {
	if a := p.attached.Load(); a != nil {
		a.group.Wake()
	}
}

func (p *Partition) status() multiraft.Status {
	if a := p.attached.Load(); a != nil {
		return a.group.Status()
	}
	return multiraft.Status{}
}

// serving gives the log and group, or why the replica serves nothing.
func (p *Partition) serving() (*attached, *runnelv1.Error) {
	a := p.attached.Load()
	if a == nil {
		return nil, runnelv1.Errorf(reasonUnavailable, "%s is starting on this broker: try again", p.name)
	}
	if p.stopping.Load() {
		return nil, p.stoppingError()
	}
	if err := a.group.Healthy(); err != nil {
		return nil, runnelv1.Errorf(reasonUnavailable, "this broker's replica of %s is out of service (%v): ask another broker", p.name, err)
	}
	return a, nil
}
