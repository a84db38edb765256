package broker

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/rpc/peer"
)

// recovery is what makes replicas: here, of what other brokers ship, and there, of what this one ships. One rate bounds both
// directions together, and calls go over connections that carry nothing else.
type recovery struct {
	limiter *catchup.Limiter
	client  *catchup.Client
	sent    prometheus.Counter
}

// newRecovery makes the receiving side; it needs no cluster yet, since a broker that joins one installs a replica first.
func (b *Broker) newRecovery() recovery {
	r := recovery{limiter: catchup.NewLimiter(b.env.Clock, b.cfg.RecoveryRate)}
	received := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "runnel_recovery_received_bytes_total", Help: "Bytes of other brokers' logs received to make replicas here.",
	})
	r.sent = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "runnel_recovery_sent_bytes_total", Help: "Bytes of logs sent to other brokers to make replicas there.",
	})
	b.reg.MustRegister(received, r.sent, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_recovery_rate_bytes", Help: "Bytes a second that may be sent, and received, to make replicas; 0 for no limit (recovery.rate.bytes).",
	}, func() float64 { return float64(r.limiter.Rate()) }))
	r.client = catchup.NewClient(catchup.ClientConfig{
		Env: b.env, Caller: countingCaller{b.peers.Bulk(), received}, Limiter: r.limiter, Log: b.log,
	})
	return r
}

// newShips makes the sending side. source gives the replicas of this broker that others may be made of. The controller's log is shipped as it
// is received (controllerInstall): not through the limiter, where one piece of it may wait for longer than the receiver does.
func (r recovery) newShips(e *env.Env, source func(group uint64) catchup.Source) *catchup.Server {
	return catchup.NewServer(catchup.ServerConfig{
		Env: e, Source: source, Limiter: r.limiter, Unlimited: func(group uint64) bool { return group == controllerGroup }, Log: e.Log,
	})
}

// ship answers a call of a broker that makes a replica, and counts what it is sent.
func (r recovery) ship(ctx context.Context, ships *catchup.Server, from int32, method string, body []byte) ([]byte, error) {
	out, err := ships.Serve(ctx, from, method, body)
	r.sent.Add(float64(len(out)))
	return out, err
}

// countingCaller counts what the answers hold.
type countingCaller struct {
	peer.Bulk
	bytes prometheus.Counter
}

func (c countingCaller) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	out, err := c.Bulk.Call(ctx, broker, method, body)
	c.bytes.Add(float64(len(out)))
	return out, err
}
