package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Config is what an Agent needs.
type Config struct {
	Env      *env.Env
	BrokerID int32
	Host     *multiraft.Host
	Store    *raftlog.Store
	Budget   *partition.Budget
	Metrics  *partition.Metrics
	Log      *slog.Logger
	// Forget tells the controller that the data of these replicas, which have tombstones, is deleted: Controller.Do with
	// ForgetReplicas.
	Forget func(ctx context.Context, replicas []uint64) error
}

// Agent runs the replicas of one broker.
type Agent struct {
	cfg Config
}

func New(c Config) *Agent                                                                { return &Agent{cfg: c} }
func (a *Agent) Update(s *placement.State)                                               { panic("x") }
func (a *Agent) Partition(topic string, n int32) (*partition.Partition, *runnelv1.Error) { panic("x") }
func (a *Agent) Start()                                                                  { panic("x") }
func (a *Agent) Stop()                                                                   { panic("x") }
func (a *Agent) Tick(now time.Time)                                                      { panic("x") }
func (a *Agent) CaughtUp() (bool, string)                                                { panic("x") }
func (a *Agent) Counts() (leaders, replicas int)                                         { panic("x") }
