package peer

import (
	"context"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// Peers is the running peer service and all connections to other brokers.
type Peers struct{}

// Start begins to serve and to connect.
func Start(c Config) (*Peers, error) { panic("not yet") }

// Send queues a packet.
func (p *Peers) Send(to int32, lane multiraft.Lane, pk *multiraft.Packet) bool { panic("not yet") }

// Call asks a broker.
func (p *Peers) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	panic("not yet")
}

// CallAddr asks whoever is at addr.
func (p *Peers) CallAddr(ctx context.Context, addr, method string, body []byte) ([]byte, error) {
	panic("not yet")
}

// Stop ends all.
func (p *Peers) Stop() {}
