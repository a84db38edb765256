package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/admin"
	rpcbroker "github.com/runnel-io/runnel/rpc/broker"
	"github.com/runnel-io/runnel/rpc/listen"
)

// services are the broker's gRPC services and what ends them.
type services struct {
	broker    lateBroker
	admin     lateAdmin
	health    *health.Server
	clients   *listen.Listener
	rpcBroker *rpcbroker.Server
	rpcAdmin  atomic.Pointer[admin.Server] // nil until the services are open; other brokers may ask before
}

// serve opens the client port, behind the gate, and the HTTP port.
func (b *Broker) serve() {
	b.grpc, b.services.health = rpcbroker.NewGRPCServer(rpcbroker.GRPCOptions{
		Log: b.log, Reflection: b.cfg.Reflection,
		Extra: append(b.clientTLS(), grpc.ChainUnaryInterceptor(b.gate.unary), grpc.ChainStreamInterceptor(b.gate.stream)),
	})
	b.services.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	runnelv1.RegisterBrokerServer(b.grpc, &b.services.broker)
	runnelv1.RegisterAdminServer(b.grpc, &b.services.admin)
	b.serving = make(chan struct{})
	l := b.boundClients()
	b.services.clients = l
	go func() { // ends by stopServing
		defer close(b.serving)
		if err := b.grpc.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
			b.fail(fmt.Errorf("serving clients on %s: %w", b.addrs.Client, err))
		}
	}()
	b.stopHTTP = startHTTP(b.boundHTTP(), b.reg, checks{healthy: b.healthy, ready: b.Ready, replicated: b.Replicated}, b.cfg.Pprof, b.log)
}

// openServices makes the services of a member and opens the gate.
func (b *Broker) openServices() {
	v := view{b}
	b.services.rpcBroker = rpcbroker.New(rpcbroker.Config{
		Partitions: v, Cluster: v, Producers: newProducerIDs(v), BrokerID: b.ID(), Budget: b.budget, Env: b.env, Log: b.log, Registerer: b.reg,
	})
	rpcAdmin := admin.New(admin.Config{
		Controller: v, Cluster: v, Partitions: v, Caller: v, HTTPAddresses: b.httpAddresses,
		BrokerID: b.ID(), Env: b.env, Log: b.log, Registerer: b.reg, Settings: b.settings,
	})
	b.services.rpcAdmin.Store(rpcAdmin)
	var bs runnelv1.BrokerServer = b.services.rpcBroker
	var as runnelv1.AdminServer = rpcAdmin
	b.services.broker.to.Store(&bs)
	b.services.admin.to.Store(&as)
	b.gate.open()
	b.services.health.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
}

// Stop hands leadership away, ends what clients wait for, and closes the data folder, within stopWithin. It may be called more
// than once and answers the same.
func (b *Broker) Stop() error {
	b.stopped.Do(func() { b.stopErr = b.stop(true) })
	return b.stopErr
}

// Abort stops without handing over: the nearest to a crash that a test in this process can have.
func (b *Broker) Abort() error {
	b.stopped.Do(func() { b.stopErr = b.stop(false) })
	return b.stopErr
}

func (b *Broker) stop(handOver bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	b.setPhase("stopping")
	b.ready.Store(false)
	b.cancel()
	<-b.done // run starts nothing any more
	var errs []error
	c := b.core.Load()
	if c != nil {
		c.ctl.Stop() // a leader that is about to go begins nothing more
	}
	if c != nil && handOver {
		b.sayLeaving(ctx, c)
		if err := c.host.HandOver(ctx); err != nil {
			b.log.Warn("not all leadership was handed over", "component", "broker", "error", err)
		}
	}
	b.gate.close(runnelv1.ErrorReason_ERROR_REASON_STOPPING, "the broker is stopping")
	b.services.health.Shutdown()
	b.stopServing(ctx)
	if c != nil {
		c.agent.Stop()
		c.ships.Stop() // before the logs that it reads are closed
		c.host.Stop()
	}
	select { // it may change gossip's keys
	case <-b.secrets.done:
	case <-ctx.Done(): // a file of certificates or keys hangs with its disk
	}
	errs = append(errs, b.gossip.Stop(ctx))
	b.peers.Stop()
	errs = append(errs, b.stopHTTP(ctx))
	b.stopEnv()
	errs = append(errs, b.store.Close())
	return errors.Join(errs...)
}

// stopServing ends the streams, then the server: gracefully for a second, since GracefulStop waits for ever on a stream.
func (b *Broker) stopServing(ctx context.Context) {
	if b.services.rpcBroker != nil {
		if err := b.services.rpcBroker.Stop(ctx); err != nil {
			b.log.Warn("streams of clients outlived their time", "component", "broker", "error", err)
		}
	}
	b.services.clients.CloseStrangers() // GracefulStop and Stop would wait for them beyond stopWithin
	graceful := make(chan struct{})
	go func() { // ends since Stop below ends every call
		defer close(graceful)
		b.grpc.GracefulStop()
	}()
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-graceful:
	case <-t.C:
	case <-ctx.Done():
	}
	b.grpc.Stop()
	<-graceful
	<-b.serving
}
