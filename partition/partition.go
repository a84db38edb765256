package partition

import (
	"context"
	"time"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

type Settings struct {
	RetentionMS, RetentionBytes int64
	SegmentBytes, SegmentMS     int64
	MaxMessageBytes             int32
	ProducerExpiryMS            int64
	SkipCountCheck              bool
}

func ParseSettings(config map[string]string) (Settings, error) { panic("x") }
func KnownSettings() []string                                  { panic("x") }

type Config struct {
	Env            *env.Env
	Topic          string
	Number         int32
	Group, Replica uint64
	Settings       Settings
	Budget         *Budget
	Metrics        *Metrics
	DiskFull       func() bool
}
type Metrics struct{}
type Budget struct{}

func NewBudget(bytes int64) *Budget              { panic("x") }
func (b *Budget) TryAcquire(n int64) bool        { panic("x") }
func (b *Budget) Release(n int64)                { panic("x") }
func (b *Budget) Wait(ctx context.Context) error { panic("x") }

type Partition struct{}

func New(c Config) *Partition                  { panic("x") }
func (p *Partition) Attach(g *multiraft.Group) { panic("x") }

type ProduceResult struct {
	Base, LogStart int64
	Duplicate      bool
	Err            *runnelv1.Error
}

func (p *Partition) Produce(batch []byte, h record.Header, done func(ProduceResult))    { panic("x") }
func (p *Partition) ProduceOwned(buf []byte, h record.Header, done func(ProduceResult)) { panic("x") }
func (p *Partition) Limits() record.Limits                                              { panic("x") }

type FetchRequest struct {
	Offset             int64
	MaxBytes, MinBytes int
	AnyReplica         bool
}
type FetchResult struct {
	Batches                       []byte
	Next, HighWatermark, LogStart int64
}

func (p *Partition) Fetch(ctx context.Context, r FetchRequest, dst []byte) (FetchResult, error) {
	panic("x")
}
func (p *Partition) TryFetch(r FetchRequest, dst []byte) (FetchResult, error)  { panic("x") }
func (p *Partition) WaitBeyond(offset int64, f func()) (cancel func())         { panic("x") }
func (p *Partition) StartOffset() int64                                        { panic("x") }
func (p *Partition) HighWatermark() int64                                      { panic("x") }
func (p *Partition) EndOffset(ctx context.Context) (int64, error)              { panic("x") }
func (p *Partition) OffsetAtTime(ctx context.Context, ms int64) (int64, error) { panic("x") }
func (p *Partition) VerifyOffset(ctx context.Context, offset int64) error      { panic("x") }
func (p *Partition) SetSettings(s Settings)                                    { panic("x") }
func (p *Partition) Tick(now time.Time)                                        { panic("x") }

type Status struct {
	Leader       bool
	LeaderBroker int32
	Term         uint64
	HW, LogStart int64
	Quarantine   string
	InSync       []uint64
	Bytes        int64
}

func (p *Partition) Status() Status { panic("x") }
func (p *Partition) Stop()          { panic("x") }

func (p *Partition) Restore(cp raftlog.Checkpoint) error              { panic("x") }
func (p *Partition) Apply(m record.Meta, payload []byte)              { panic("x") }
func (p *Partition) Applied(index uint64)                             { panic("x") }
func (p *Partition) Turn(s multiraft.Session) [][]byte                { panic("x") }
func (p *Partition) Proposed(err error)                               { panic("x") }
func (p *Partition) SessionStarted(s multiraft.Session)               { panic("x") }
func (p *Partition) SessionEnded(reason *runnelv1.Error)              { panic("x") }
func (p *Partition) Checkpoint() (next, logStart int64, state []byte) { panic("x") }
func (p *Partition) Stopped()                                         { panic("x") }
