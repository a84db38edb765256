package multiraft

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
)

type Config struct {
	Env                            *env.Env
	BrokerID                       int32
	BootNonce                      uint64
	Store                          *raftlog.Store
	Transport                      Transport
	Registerer                     prometheus.Registerer
	TickInterval                   time.Duration
	HeartbeatInterval, SilentAfter time.Duration
	InflightBytes                  int64
}
type Host struct{}
type Group struct{}

func New(c Config) *Host                                                 { panic("soon") }
func (h *Host) Start()                                                   { panic("soon") }
func (h *Host) Stop()                                                    { panic("soon") }
func (h *Host) Receive(from int32, p *Packet)                            { panic("soon") }
func (h *Host) Refused(broker int32)                                     { panic("soon") }
func (h *Host) SetBrokers(ids []int32)                                   { panic("soon") }
func (h *Host) Alive(broker int32) bool                                  { panic("soon") }
func (h *Host) HasQuorumOfBrokers() bool                                 { panic("soon") }
func (h *Host) Leader(group uint64) (broker int32, term uint64, ok bool) { panic("soon") }
func (h *Host) OnLeaders(f func())                                       { panic("soon") }
func (h *Host) StartGroup(c GroupConfig) (*Group, error)                 { panic("soon") }
func (h *Host) StopGroup(group uint64) error                             { panic("soon") }
func (h *Host) HandOver(ctx context.Context) error                       { panic("soon") }
func (g *Group) Wake()                                                   { panic("soon") }
func (g *Group) SetMembers(m map[uint64]int32)                           { panic("soon") }
func (g *Group) ReadIndex(done func(index uint64, err error))            { panic("soon") }
func (g *Group) ProposeConf(cc *raftpb.ConfChangeV2, done func(error))   { panic("soon") }
func (g *Group) TransferLeader(replica uint64)                           { panic("soon") }
func (g *Group) Campaign()                                               { panic("soon") }
func (g *Group) Status() Status                                          { panic("soon") }
func (g *Group) Log() *raftlog.Log                                       { panic("soon") }
func (g *Group) Healthy() error                                          { panic("soon") }
