package broker

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/rpc/listen"
)

const (
	// defaultConnections is how many clients may be connected. One that is idle costs 50 KiB with TLS and 20 without.
	defaultConnections = 20_000
	// maxHandshakes bounds the TLS handshakes of clients at once: each costs a processor about a third of a millisecond, and some 50 KiB.
	maxHandshakes = 512
	// maxHTTP bounds the connections to the HTTP address: some scrapers and probes.
	maxHTTP = 256
	// tlsReadBuffer: a read from a TLS connection gives one record of at most 16 KiB, so that gRPC's own buffer may be small.
	tlsReadBuffer = 32 << 10
	// refusedEvery bounds how often a refused connection is logged.
	refusedEvery = 10 * time.Second
)

// refusals counts and logs connections that were refused.
type refusals struct {
	counter *prometheus.CounterVec
	log     *slog.Logger
	now     func() time.Time

	mu     sync.Mutex
	logged time.Time
	silent int // since then
}

func (b *Broker) newRefusals() *refusals {
	r := &refusals{log: b.log, now: b.env.Now, counter: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "runnel_broker_refused_connections_total",
		Help: "Connections that were refused, by reason (connections: too many of clients; handshakes: too many TLS handshakes at once; tls: the handshake failed; http: too many to the HTTP address).",
	}, []string{"reason"})}
	for _, reason := range []string{listen.Connections, listen.Handshakes, listen.TLS, "http"} {
		r.counter.WithLabelValues(reason)
	}
	b.reg.MustRegister(r.counter)
	return r
}

// refused notes a connection. err is nil where there is no more to say than the reason.
func (r *refusals) refused(reason string, from net.Addr, err error) {
	r.counter.WithLabelValues(reason).Inc()
	if errors.Is(err, io.EOF) { // somebody looked whether the port is open
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.logged) >= refusedEvery {
		r.log.Warn("a connection was refused", "component", "broker", "reason", reason, "from", from, "error", err, "not_logged_before", r.silent)
		r.logged, r.silent = now, 0
		return
	}
	r.silent++
}

// mostClients is how many may be connected. However many are configured, a quarter of the open files stays for the log.
func (b *Broker) mostClients() int {
	most := b.cfg.MaxConnections
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err == nil && uint64(most) > lim.Cur/4*3 { //nolint:gosec // it is positive
		most = int(lim.Cur / 4 * 3) //nolint:gosec // below most
		if b.cfg.QuietLimits {
			return most
		}
		b.log.Warn("fewer clients than configured may be connected, since open files are limited: raise it with ulimit -n or LimitNOFILE",
			"component", "broker", "client.connections.max", b.cfg.MaxConnections, "connections", most, "limit", lim.Cur)
	}
	return most
}

// boundClients caps the connections of the client port.
func (b *Broker) boundClients() *listen.Listener {
	l := listen.Bound(b.client, b.mostClients(), func(reason string, from net.Addr) { b.refusals.refused(reason, from, nil) })
	b.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_broker_connections", Help: "Connections of clients that are open, those included that shake hands.",
	}, func() float64 { return float64(l.Open()) }))
	closed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "runnel_broker_closed_connections_total",
		Help: "Connections of clients that ended, by why: the client closed it (client), its system refused what was sent (reset), nothing was " +
			"heard of it (gone), it did not begin to speak HTTP/2 in time (handshake), or the broker closed it (broker).",
	}, []string{"reason"})
	for _, reason := range listen.Ends {
		closed.WithLabelValues(reason)
	}
	b.reg.MustRegister(closed)
	l.Tell(func(reason string) { closed.WithLabelValues(reason).Inc() })
	return l
}

func (b *Broker) boundHTTP() net.Listener {
	return listen.Bound(b.http, maxHTTP, func(_ string, from net.Addr) { b.refusals.refused("http", from, nil) })
}

// clientTLS are the options of gRPC for it; none: plain text.
func (b *Broker) clientTLS() []grpc.ServerOption {
	if b.secrets.client == nil {
		return nil
	}
	return []grpc.ServerOption{
		grpc.Creds(listen.Secure(b.secrets.client.Server(), maxHandshakes, b.refusals.refused)), grpc.ReadBufferSize(tlsReadBuffer),
	}
}
