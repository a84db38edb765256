package peer

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"google.golang.org/protobuf/proto"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// handshakeMagic opens the handshake on both sides. HTTP/2 begins with "PRI ": neither is taken for the other.
	handshakeMagic = "RNLP"
	maxHello       = 4096 // bytes of an encoded hello
)

// writeHello sends magic, a 2 byte size (little endian) and the message.
func writeHello(c net.Conn, m proto.Message) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("peer: encode handshake: %w", err)
	}
	if len(body) > maxHello {
		return fmt.Errorf("peer: the handshake is %d bytes, %d fit: shorten the version text", len(body), maxHello)
	}
	b := append([]byte(handshakeMagic), 0, 0)
	binary.LittleEndian.PutUint16(b[len(handshakeMagic):], uint16(len(body)))
	_, err = c.Write(append(b, body...))
	return err
}

// readHello reads exactly one message and not a byte more: HTTP/2 follows.
func readHello(c net.Conn, m proto.Message) error {
	var head [len(handshakeMagic) + 2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	if string(head[:len(handshakeMagic)]) != handshakeMagic {
		return fmt.Errorf("peer: %q is no handshake: what connects here must be a broker of Runnel", head[:len(handshakeMagic)])
	}
	n := binary.LittleEndian.Uint16(head[len(handshakeMagic):])
	if n > maxHello {
		return fmt.Errorf("peer: a handshake of %d bytes, above %d", n, maxHello)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c, body); err != nil {
		return err
	}
	if err := proto.Unmarshal(body, m); err != nil {
		return fmt.Errorf("peer: malformed handshake: %w", err)
	}
	return nil
}

func helloRequest(id Identity, v versions) *runnelv1.HelloRequest {
	return &runnelv1.HelloRequest{
		ProtocolVersion: v.oldest, MaxProtocolVersion: v.newest, ClusterId: id.ClusterID, BrokerId: id.BrokerID,
		Incarnation: id.Incarnation, BootNonce: id.Nonce, Version: id.Version,
	}
}

func helloResponse(id Identity, v versions) *runnelv1.HelloResponse {
	return &runnelv1.HelloResponse{
		ProtocolVersion: v.oldest, MaxProtocolVersion: v.newest, ClusterId: id.ClusterID, BrokerId: id.BrokerID,
		Incarnation: id.Incarnation, BootNonce: id.Nonce, Version: id.Version,
	}
}

// hello is what both messages share.
type hello interface {
	GetProtocolVersion() uint32
	GetMaxProtocolVersion() uint32
	GetClusterId() string
	GetBrokerId() int32
	GetIncarnation() string
	GetBootNonce() uint64
	GetVersion() string
}

func identityOf(h hello) Identity {
	return Identity{
		ClusterID: h.GetClusterId(), BrokerID: h.GetBrokerId(), Incarnation: h.GetIncarnation(),
		Nonce: h.GetBootNonce(), Version: h.GetVersion(),
	}
}

// isSelf tells whether the other end is this very process, not another one with the same id.
func isSelf(own Identity, other hello) bool {
	return own.BrokerID != 0 && own.BrokerID == other.GetBrokerId() && own.Nonce != 0 && own.Nonce == other.GetBootNonce()
}

// acceptable is the rule that both sides apply to the other. nil = welcome. A broker without a cluster is welcome: it is
// founding or joining, and only calls are open to it.
func acceptable(own Identity, v versions, other hello) *runnelv1.Error {
	refuse := func(format string, args ...any) *runnelv1.Error {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, format, args...)
	}
	if theirs := versionsOf(other); v.common(theirs) == 0 {
		return refuse("%s", v.nothingShared(own, other, theirs))
	}
	if own.ClusterID == "" || other.GetClusterId() == "" {
		return nil
	}
	if own.ClusterID != other.GetClusterId() {
		return refuse("broker %d belongs to cluster %s, broker %d to cluster %s: correct the addresses or seeds of one of them",
			other.GetBrokerId(), other.GetClusterId(), own.BrokerID, own.ClusterID)
	}
	if own.BrokerID != 0 && own.BrokerID == other.GetBrokerId() {
		if isSelf(own, other) {
			return refuse("broker %d has connected to itself: the address of another broker leads back to it", own.BrokerID)
		}
		return refuse("both ends of a connection say they are broker %d: a data folder was copied", own.BrokerID)
	}
	return nil
}
