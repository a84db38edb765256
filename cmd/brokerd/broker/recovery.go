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
}

// newRecovery makes the receiving side; it needs no cluster yet, since a broker that joins one installs a replica first.
func (b *Broker) newRecovery() recovery {
	r := recovery{limiter: catchup.NewLimiter(b.env.Clock, b.cfg.RecoveryRate)}
	received := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "runnel_recovery_received_bytes_total", Help: "Bytes of other brokers' logs received to make replicas here.",
	})
	b.reg.MustRegister(received)
	r.client = catchup.NewClient(catchup.ClientConfig{
		Env: b.env, Caller: countingCaller{b.peers.Bulk(), received}, Limiter: r.limiter, Log: b.log,
	})
	return r
}

// newShips makes the sending side. source gives the replicas of this broker that others may be made of.
func (r recovery) newShips(e *env.Env, source func(group uint64) catchup.Source) *catchup.Server {
	return catchup.NewServer(catchup.ServerConfig{Env: e, Source: source, Limiter: r.limiter, Log: e.Log})
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
