package peer

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/runnel-io/runnel/partition/multiraft"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	maxMessage   = maxFrame + 64<<10 // of gRPC: frames, and calls with a body of up to maxFrame
	maxStreams   = 256               // RPCs at once on one connection
	maxInbound   = 1 << 14           // lanes of brokers that ever connected: a stranger cannot grow the table without end
	maxHeaders   = 16 << 10
	callsTimeout = time.Second // in Stop, for calls being served
)

// server is the Peer service.
type server struct {
	runnelv1.UnimplementedPeerServer
	p *Peers

	mu      sync.Mutex
	inbound map[inboundKey]*inbound
}

type inboundKey struct {
	from int32
	lane multiraft.Lane
}

// inbound serialises the packets of one lane from one broker over its connections: the newest stream alone delivers.
type inbound struct {
	packets, bytes prometheus.Counter

	mu     sync.Mutex
	newest uint64 // number of the newest stream
}

func (p *Peers) newServer() *grpc.Server {
	s := grpc.NewServer(
		grpc.Creds(handshaker{p}),
		grpc.ForceServerCodecV2(p.codec),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(maxHeaders),
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window),
		grpc.ReadBufferSize(bufferSize), grpc.WriteBufferSize(bufferSize),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime / 2, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	runnelv1.RegisterPeerServer(s, &server{p: p, inbound: map[inboundKey]*inbound{}})
	return s
}

// Hello tells who this broker is. The handshake proper came before; this is for people with a gRPC tool.
func (s *server) Hello(ctx context.Context, _ *runnelv1.HelloRequest) (*runnelv1.HelloResponse, error) {
	if _, e := callerOf(ctx); e != nil {
		return nil, runnelv1.ToStatus(e)
	}
	return helloResponse(s.p.cfg.Identity(), s.p.cfg.versions), nil
}

// Lane takes one lane from one broker.
func (s *server) Lane(stream grpc.BidiStreamingServer[runnelv1.Frame, runnelv1.Frame]) error {
	who, e := callerOf(stream.Context())
	if e != nil {
		return runnelv1.ToStatus(e)
	}
	own := s.p.cfg.Identity()
	if who.who.BrokerID == 0 || who.who.ClusterID == "" || who.who.ClusterID != own.ClusterID {
		return runnelv1.ToStatus(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
			"raft traffic needs both brokers in one cluster: broker %d is in cluster %q, this one in %q", who.who.BrokerID, who.who.ClusterID, own.ClusterID))
	}
	lane, e := laneOf(stream.Context())
	if e != nil {
		return runnelv1.ToStatus(e)
	}
	in, number, e := s.begin(who.who.BrokerID, lane)
	if e != nil {
		return runnelv1.ToStatus(e)
	}
	if who.conn != nil {
		who.conn.setCalls(false)
	}
	s.p.isUp(who.who.BrokerID)
	var f inFrame
	for {
		if err := stream.RecvMsg(&f); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			if stream.Context().Err() == nil && s.p.quiet.allow(who.who.BrokerID) {
				s.p.log.Warn("a lane ended with an error", "peer", who.who.BrokerID, "lane", laneName(lane), "error", plain(err))
			}
			return err
		}
		if !in.deliver(number, &f, func(p *multiraft.Packet) { s.p.cfg.Receive(who.who.BrokerID, p) }) {
			return runnelv1.ToStatus(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
				"broker %d opened this lane again on a newer connection", who.who.BrokerID))
		}
	}
}

func laneOf(ctx context.Context) (multiraft.Lane, *runnelv1.Error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(laneKey); len(v) == 1 {
		if n, err := strconv.ParseUint(v[0], 10, 8); err == nil && int(n) < multiraft.NumLanes {
			return multiraft.Lane(n), nil
		}
	}
	return 0, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "a lane stream needs the number of a lane in its metadata %s", laneKey)
}

// begin makes a stream the newest of its lane; from now on the older ones deliver nothing.
func (s *server) begin(from int32, lane multiraft.Lane) (*inbound, uint64, *runnelv1.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := inboundKey{from, lane}
	in := s.inbound[k]
	if in == nil {
		if len(s.inbound) >= maxInbound {
			return nil, 0, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, "more brokers have connected than a cluster can have")
		}
		id, name := strconv.Itoa(int(from)), laneName(lane)
		in = &inbound{packets: s.p.metrics.packets.WithLabelValues(id, name, "in"), bytes: s.p.metrics.bytes.WithLabelValues(id, name, "in")}
		s.inbound[k] = in
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.newest++
	return in, in.newest, nil
}

// deliver hands a frame's packets on, or answers false if a newer stream has begun.
func (in *inbound) deliver(number uint64, f *inFrame, receive func(*multiraft.Packet)) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if number != in.newest {
		return false
	}
	in.packets.Add(float64(len(f.packets)))
	in.bytes.Add(float64(f.bytes))
	for _, p := range f.packets {
		receive(p)
	}
	f.packets = nil
	return true
}

// Call answers a call. Errors of Serve travel in the response: their kind and leader must arrive unchanged.
func (s *server) Call(ctx context.Context, req *runnelv1.CallRequest) (*runnelv1.CallResponse, error) {
	who, e := callerOf(ctx)
	if e != nil {
		return nil, runnelv1.ToStatus(e)
	}
	from := who.who.BrokerID
	if who.who.ClusterID == "" || who.who.ClusterID != s.p.cfg.Identity().ClusterID {
		from = 0
	}
	body, err := s.p.cfg.Serve(ctx, from, req.GetMethod(), req.GetBody())
	if err == nil && len(body) > maxFrame {
		err = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "the answer to %s is %d bytes, %d fit", req.GetMethod(), len(body), maxFrame)
	}
	if err != nil {
		return &runnelv1.CallResponse{Error: runnelv1.AsError(err)}, nil
	}
	return &runnelv1.CallResponse{Body: body}, nil
}
