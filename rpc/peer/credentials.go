package peer

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// handshaker is the listener's side of the handshake, where gRPC has its hook for one: before HTTP/2 begins. gRPC sets the
// deadline and closes the connection on an error.
type handshaker struct{ p *Peers }

// authInfo is what a handshake found out; it belongs to the connection and is seen by each of its RPCs.
type authInfo struct {
	credentials.CommonAuthInfo
	who  Identity
	conn *acceptedConn
}

func (authInfo) AuthType() string { return "runnel-hello" }

func (h handshaker) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	accepted, _ := raw.(*acceptedConn)
	c, err := h.p.secureServer(raw)
	var who Identity
	if err == nil {
		who, err = h.greet(c, accepted)
	}
	if err != nil {
		h.p.metrics.refusedHello.Inc()
		if h.p.quiet.allow(who.BrokerID) {
			h.p.log.Warn("an incoming connection was refused", "from", raw.RemoteAddr().String(), "broker", who.BrokerID, "error", err)
		}
		return nil, nil, err
	}
	info := authInfo{who: who, conn: accepted, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}
	if h.p.cfg.TLS != nil {
		info.SecurityLevel = credentials.PrivacyAndIntegrity
	}
	if accepted != nil {
		accepted.setCalls(true)
	}
	return c, info, nil
}

func (h handshaker) greet(raw net.Conn, accepted *acceptedConn) (Identity, error) {
	req := &runnelv1.HelloRequest{}
	if err := readHello(raw, req); err != nil {
		return Identity{}, err
	}
	who, own := identityOf(req), h.p.cfg.Identity()
	who.Protocol = h.p.cfg.versions.common(versionsOf(req))
	resp := helloResponse(own, h.p.cfg.versions)
	resp.Error = acceptable(own, h.p.cfg.versions, req)
	if accepted != nil && resp.Error == nil && who.ClusterID == "" && !accepted.join() {
		resp.Error = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, "too many brokers are joining at once: try again")
	}
	if resp.Error == nil && who.ClusterID != "" && who.ClusterID == own.ClusterID {
		if err := h.p.cfg.Admit(who); err != nil {
			resp.Error = runnelv1.AsError(err)
		}
	}
	if err := writeHello(raw, resp); err != nil {
		return who, err
	}
	if resp.Error != nil {
		return who, resp.Error
	}
	return who, nil
}

func (handshaker) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("peer: the dialler's handshake is done before gRPC begins")
}

func (h handshaker) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "runnel-hello"}
}
func (h handshaker) Clone() credentials.TransportCredentials { return h }

// OverrideServerName is deprecated and has no use here, but the interface still has it.
func (handshaker) OverrideServerName(string) error { return nil }

// callerOf is who is at the other end of an RPC's connection.
func callerOf(ctx context.Context) (authInfo, *runnelv1.Error) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(authInfo); ok {
			return info, nil
		}
	}
	return authInfo{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "this connection has not shaken hands")
}
