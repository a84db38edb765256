package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/gossip"
	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/rpc/listen"
	"github.com/runnel-io/runnel/rpc/peer"
)

const (
	// stopWithin bounds a clean stop: an orchestrator kills after that, and a kill is survived too.
	stopWithin = 8 * time.Second
	// giveUpAfter is when Run returns although Stop does not: no deadline reaches a write that hangs in the kernel.
	giveUpAfter = 10 * time.Second
)

// Broker is one running broker.
type Broker struct {
	cfg   Config
	log   *slog.Logger
	level *slog.LevelVar // of log
	audit *slog.Logger   // with no level: who raises log.level must not silence what tells of it
	// followed has what follow did last, by key.
	followed map[string]string
	reg      *prometheus.Registry
	nonce    uint64 // of this boot
	bootMS   int64  // when it was

	client, peerL, http net.Listener
	addrs               Addresses

	env     *env.Env
	stopEnv func()
	store   *raftlog.Store
	// leftovers is how many replicas the disk held at the start although it named no cluster.
	leftovers int
	peers     *peer.Peers
	gossip    *gossip.Gossip
	catchup   recovery
	budget    *partition.Budget
	changes   *broadcast
	core      atomic.Pointer[core] // nil until the broker has an id

	given    givenUp
	logged   atomic.Pointer[logRecovery] // nil before it is read
	gate     *gate
	disk     *disk
	grpc     *grpc.Server
	services services
	secrets  secrets
	refusals *refusals
	serving  chan struct{} // grpc's Serve has returned
	stopHTTP func(context.Context) error

	ctx    context.Context // of run; ends with Stop
	cancel context.CancelFunc
	done   chan struct{} // run has returned

	phase      atomic.Pointer[string] // why not ready; nil: member of a cluster, replicas opening
	ready      atomic.Bool            // sticks: rule 28
	replicated replicated
	foreign    bool                  // owned by run: another cluster was met
	fatal      chan error            // first failure that ends the broker, for Wait
	failed     atomic.Pointer[error] // the same, for whoever looks
	stopped    sync.Once
	stopErr    error
}

// Addresses are where a broker really listens, and what it tells others.
type Addresses struct {
	Client, Peer, Gossip, HTTP string
}

// Run runs a broker until ctx ends, then stops it cleanly. It answers why the broker could not start, or failed.
func Run(ctx context.Context, cfg Config) error {
	b, err := Start(cfg)
	if err != nil {
		return err
	}
	err = b.watched(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- b.Stop() }() // outlives Run only when the disk hangs, and then the process ends
	select {
	case stopErr := <-stopped:
		return errors.Join(err, stopErr)
	case <-time.After(giveUpAfter):
		return errors.Join(err, fmt.Errorf("the broker did not stop within %s, perhaps since its disk hangs: the process ends without it, as after a kill", giveUpAfter))
	}
}

// watched is Wait with cfg.Watch beside it.
func (b *Broker) watched(ctx context.Context) error {
	if b.cfg.Watch == nil {
		return b.Wait(ctx)
	}
	watching, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with watching
		defer close(done)
		b.cfg.Watch(watching, b.Ready)
	}()
	err := b.Wait(ctx)
	end()
	<-done
	return err
}

// Wait returns when ctx ends, with nil, or when the broker cannot go on, with the reason. Stop is still to be called.
func (b *Broker) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		b.log.Info("stopping", "component", "broker")
		return nil
	case err := <-b.fatal:
		b.log.Error("the broker cannot go on", "component", "broker", "error", err)
		return err
	}
}

// Start brings a broker up to the point where it listens and has its data folder; founding, joining and opening
// replicas go on behind it. On an error nothing is left running.
func Start(cfg Config) (_ *Broker, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	level := &slog.LevelVar{}
	level.Set(cfg.LogLevel)
	audit := cfg.Log
	cfg.Log = slog.New(leveled{cfg.Log.Handler(), level})
	b := &Broker{
		cfg: cfg, log: cfg.Log, audit: audit, level: level, followed: map[string]string{}, reg: prometheus.NewRegistry(), gate: newGate(),
		done: make(chan struct{}), fatal: make(chan error, 1), changes: newBroadcast(),
	}
	b.setPhase("starting")
	b.ctx, b.cancel = context.WithCancel(context.Background())
	var undo []func()
	defer func() {
		if err != nil {
			b.cancel()
			for i := len(undo) - 1; i >= 0; i-- {
				undo[i]()
			}
		}
	}()
	if err := b.listen(); err != nil {
		return nil, err
	}
	undo = append(undo, b.closeListeners)
	b.registerMetrics()
	b.env, b.stopEnv = env.NewReal(env.RealOptions{Log: b.log})
	undo = append(undo, b.stopEnv)
	b.nonce, b.bootMS = b.env.Uint64()|1, b.env.Wall().UnixMilli()
	b.refusals = b.newRefusals()
	if err := b.openSecrets(); err != nil {
		return nil, err
	}
	b.store, err = raftlog.Open(raftlog.Options{
		Dir: cfg.DataDir, Log: b.log, Registerer: b.reg, Clock: b.env.Clock,
		TailBytes: cfg.TailBytes, SegmentBytes: cfg.SegmentBytes, ReserveBytes: cfg.DiskReserve, Hooks: cfg.Hooks, Fatal: b.fail,
	})
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = b.store.Close() })
	if err := b.lookForLeftovers(); err != nil {
		return nil, err
	}
	b.env.Log = b.log
	if !cfg.QuietLimits {
		warnLimits(b.log)
	}
	b.disk = &disk{dir: cfg.DataDir, free: b.store.Free, total: b.store.Total, log: b.log}
	b.disk.reserve.Store(cfg.DiskReserve)
	b.disk.register(b.reg)
	b.disk.look()
	b.budget = partition.NewBudget(cfg.ProduceBytes)
	b.registerBudget()
	b.readRecovery()
	if err := b.startPeers(); err != nil {
		return nil, err
	}
	b.catchup = b.newRecovery()
	b.serve()
	b.secrets.done = make(chan struct{})
	go b.watchSecrets(b.ctx)
	go b.run()
	b.log.Info("listening", "component", "broker", "client", b.addrs.Client, "peer", b.addrs.Peer,
		"gossip", b.addrs.Gossip, "http", b.addrs.HTTP, "data_dir", cfg.DataDir, "version", Version())
	return b, nil
}

func (c *Config) setDefaults() {
	c.TailBytes = cmp.Or(c.TailBytes, defaultTailBytes)
	c.TickInterval = cmp.Or(c.TickInterval, defaultTick)
	c.ControllerEvery = cmp.Or(c.ControllerEvery, controllerEvery)
	c.ProduceBytes = cmp.Or(c.ProduceBytes, defaultProduceBytes)
	c.CertsEvery = cmp.Or(c.CertsEvery, certsEvery)
	c.MaxConnections = cmp.Or(c.MaxConnections, defaultConnections)
	c.ReplaceAfter = cmp.Or(c.ReplaceAfter, defaultReplaceAfter)
	c.RecoveryParallel = cmp.Or(c.RecoveryParallel, defaultParallel)
}

// listen opens the three TCP addresses; gossip opens its own.
func (b *Broker) listen() error {
	plain := func(_ context.Context, addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	for _, l := range []struct {
		key, addr string
		open      func(ctx context.Context, addr string) (net.Listener, error)
		to        *net.Listener
	}{{"listen", b.cfg.Listen, listen.TCP, &b.client}, {"peer.listen", b.cfg.PeerListen, plain, &b.peerL}, {"http.listen", b.cfg.HTTPListen, plain, &b.http}} {
		got, err := l.open(b.ctx, l.addr)
		if err != nil {
			b.closeListeners()
			return fmt.Errorf("%s: cannot listen on %s: %w", l.key, l.addr, err)
		}
		*l.to = got
	}
	b.addrs = Addresses{
		Client: advertised(b.cfg.AdvertiseClient, b.client), Peer: advertised(b.cfg.AdvertisePeer, b.peerL),
		HTTP: advertised(b.cfg.AdvertiseHTTP, b.http),
	}
	return nil
}

func advertised(set string, l net.Listener) string {
	if set != "" {
		return set
	}
	return l.Addr().String()
}

func (b *Broker) closeListeners() {
	for _, l := range []net.Listener{b.client, b.peerL, b.http} {
		if l != nil {
			_ = l.Close() // a second close of what a server owns by now is harmless
		}
	}
}

// startPeers starts what can meet other brokers before this one has an id: the peer service and gossip.
func (b *Broker) startPeers() error {
	var err error
	b.peers, err = peer.Start(peer.Config{
		Listen: b.peerL, Identity: b.identity, Resolve: b.resolve,
		Receive: func(from int32, p *multiraft.Packet) {
			if c := b.core.Load(); c != nil {
				c.host.Receive(from, p)
			}
		},
		Refused: func(id int32) {
			if c := b.core.Load(); c != nil {
				c.leaving.ended(id)
				c.host.Refused(id)
			}
		},
		Reached: func(id int32) {
			if c := b.core.Load(); c != nil {
				c.leaving.ended(id)
				c.host.Reached(id)
			}
		},
		Serve: b.servePeer, Admit: func(id peer.Identity) error { return admits(b.state(), id) }, TLS: b.peerTLS(), Log: b.log, Registerer: b.reg,
	})
	if err != nil {
		return err
	}
	b.gossip, err = gossip.Start(b.ctx, gossip.Config{
		Listen: b.cfg.GossipListen, Advertise: b.cfg.AdvertiseGossip, Seeds: b.cfg.Seeds, Meta: b.meta(), Keys: b.gossipKeys(),
		Log: b.log, Registerer: b.reg, OnChange: b.gossipChanged,
	})
	if err != nil {
		b.peers.Stop()
		return fmt.Errorf("gossip.listen: %w", err)
	}
	b.addrs.Gossip = b.gossip.Self().Addr
	return nil
}

// meta is what gossip tells of this broker.
func (b *Broker) meta() gossip.Meta {
	id := b.store.Identity()
	return gossip.Meta{
		BrokerID: id.BrokerID, Nonce: b.nonce, ClusterID: id.ClusterID,
		Client: b.addrs.Client, Peer: b.addrs.Peer, HTTP: b.addrs.HTTP, Rack: b.cfg.Rack, Version: Version(),
		Empty: id.ClusterID == "" && b.leftovers == 0, SeedsHash: gossip.HashSeeds(b.cfg.Seeds), BootMS: b.bootMS, Level: placement.Level,
	}
}

// fail ends the broker with err; the first one counts.
func (b *Broker) fail(err error) {
	b.failed.CompareAndSwap(nil, &err)
	select {
	case b.fatal <- err:
	default:
	}
}

// Addresses tells where the broker is to be reached.
func (b *Broker) Addresses() Addresses { return b.addrs }

// ID is the broker's id in its cluster, 0 before it has one.
func (b *Broker) ID() int32 { return b.store.Identity().BrokerID }

func (b *Broker) setPhase(why string) {
	if why == "" {
		b.phase.Store(nil)
		return
	}
	b.phase.Store(&why)
}
