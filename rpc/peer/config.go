package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// The versions of the protocol between brokers that this release speaks, oldest and newest. Two brokers speak the highest that both do
// (versions.go), so a release that brings a new one goes on speaking that of the release before.
const (
	MinProtocolVersion = 1
	ProtocolVersion    = 1
)

// Identity is who a broker is, as told in the handshake.
type Identity struct {
	ClusterID   string // "" while the broker belongs to no cluster
	BrokerID    int32  // 0 while the broker belongs to no cluster
	Incarnation string // drawn when the data folder was made
	Nonce       uint64 // drawn at each start of the process
	Version     string // the broker's release, for people
	// Protocol is the version of the protocol between brokers that is spoken with it; only of the other end of a connection.
	Protocol uint32
}

// TLS are the two ends of a connection. Each must refuse whoever shows no certificate of a broker: nothing after it asks again.
type TLS struct {
	Server, Client *tls.Config
}

// Config says how to start. Listen, Identity, Resolve, Receive and Serve are required.
type Config struct {
	// Listen is where other brokers connect. Peers owns it and closes it in Stop.
	Listen net.Listener
	// Identity is asked at each handshake, since it changes when the broker joins a cluster.
	Identity func() Identity
	// Resolve gives the peer address (host:port, the host may be a name) of a broker, asked before each dial.
	Resolve func(broker int32) (addr string, ok bool)
	// Receive takes a packet that broker from sent. It must not block: all lanes of that broker would wait.
	Receive func(from int32, p *multiraft.Packet)
	// Refused is told each time a broker's machine refuses a connection: nothing listens there. nil = nobody. It must not block.
	Refused func(broker int32)
	// Reached is told each time a lane to a broker is connected, for the first time or again. What was sent on it shortly before may be
	// lost. nil = nobody. It must not block.
	Reached func(broker int32)
	// Serve answers a call. from is the caller's broker id, or 0 if the caller or this broker belongs to no cluster: then only
	// what a joining broker needs may be answered. Errors reach the caller as *runnelv1.Error.
	Serve func(ctx context.Context, from int32, method string, body []byte) ([]byte, error)
	// Admit can refuse a broker of the same cluster, such as one whose incarnation is not the registered one. nil = all.
	// Its error text is told to the refused broker.
	Admit func(Identity) error
	// TLS, if not nil, comes before the handshake on every connection, in both directions.
	TLS *TLS

	Log        *slog.Logger          // nil = none
	Registerer prometheus.Registerer // nil = none

	// Bytes that may wait or be on the way to the socket, for each broker. 0 = 8 MiB and 64 MiB.
	ControlQueueBytes, AppendQueueBytes int64
	// MaxConns caps incoming connections, handshaken or not. 0 = 1024.
	MaxConns int

	versions versions // tests set it; 0 = what this release speaks
}

func (c *Config) setDefaults() error {
	if c.Listen == nil || c.Identity == nil || c.Resolve == nil || c.Receive == nil || c.Serve == nil {
		return errors.New("peer: Config needs Listen, Identity, Resolve, Receive and Serve")
	}
	if c.Refused == nil {
		c.Refused = func(int32) {}
	}
	if c.Reached == nil {
		c.Reached = func(int32) {}
	}
	if c.Admit == nil {
		c.Admit = func(Identity) error { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("component", "peer")
	if c.versions == (versions{}) {
		c.versions = versions{MinProtocolVersion, ProtocolVersion}
	}
	if c.ControlQueueBytes == 0 {
		c.ControlQueueBytes = 8 << 20
	}
	if c.AppendQueueBytes == 0 {
		c.AppendQueueBytes = 64 << 20
	}
	if c.MaxConns == 0 {
		c.MaxConns = 1024
	}
	return nil
}
