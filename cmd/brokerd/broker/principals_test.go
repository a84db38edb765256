package broker_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// principals are who may come to a port: without TLS, without a certificate, with a broker's of another cluster, with a client's that the CA of
// brokers signed, with a client's, with a broker's.
var principals = []string{"plain", "none", "wrong-ca", "no-role", "client", "peer"}

// rpcs are all calls that the project's descriptors have, and gRPC's own health.
func rpcs() []string {
	var out []string
	add := func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				out = append(out, fmt.Sprintf("%s/%s", s.FullName(), s.Methods().Get(j).Name()))
			}
		}
		return true
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("runnel.v1", add)
	add(healthv1.File_grpc_health_v1_health_proto)
	slices.Sort(out)
	return out
}

// Who may call what, on which port: testdata/principals.txt says it for every call there is, so a new call fails here until somebody has
// decided. Refused means that the connection came to nothing: not even the call's name was read. Unknown: the port does not have it.
func TestEveryCallIsRefusedToWhomItIsNotFor(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1, brokertest.TLS())
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := dev.Write(wrong, c.Addresses(), time.Now()); err != nil {
		t.Fatal(err)
	}
	peerCA, err := dev.ReadCA(filepath.Join(c.Certs(), dev.PeerCACert), filepath.Join(c.Certs(), dev.PeerCAKey))
	if err != nil {
		t.Fatal(err)
	}
	leaf := dev.PeerLeaf(nil)
	leaf.URIs = nil
	noRole, err := peerCA.Sign(leaf, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for ext, text := range map[string][]byte{"crt": noRole.Cert, "key": noRole.Key} {
		if err := os.WriteFile(filepath.Join(wrong, "no-role."+ext), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What each shows. All trust the cluster's CAs: it is the broker that must refuse.
	configs := map[string]*tls.Config{
		"none": c.ClientTLS(""), "client": c.ClientTLS("client"), "peer": c.ClientTLS("peer"),
		"no-role":  brokertest.ClientTLS(t, filepath.Join(c.Certs(), dev.CACert), wrong, "no-role"),
		"wrong-ca": brokertest.ClientTLS(t, filepath.Join(c.Certs(), dev.CACert), wrong, "peer"),
	}
	verdict := func(port, principal, rpc string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var cc *grpc.ClientConn
		var err error
		switch creds := configs[principal]; {
		case port == "peer":
			cc, err = asBroker(ctx, c, creds)
		case creds == nil:
			cc, err = grpc.NewClient(c.Config(1).Listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
		default:
			cc, err = grpc.NewClient(c.Config(1).Listen, grpc.WithTransportCredentials(credentials.NewTLS(creds)))
		}
		if errors.Is(err, errShut) {
			return "refused"
		}
		if err != nil {
			t.Fatalf("%s, %s: %v", port, principal, err)
		}
		defer cc.Close()
		switch err := call(ctx, cc, "/"+rpc); {
		case status.Code(err) == codes.Unimplemented:
			return "unknown"
		case status.Code(err) == codes.Unavailable && len(status.Convert(err).Details()) == 0: // gRPC's own, not the broker's
			return "refused"
		case status.Code(err) == codes.DeadlineExceeded:
			t.Fatalf("%s, %s, %s: no answer", port, principal, rpc)
		}
		return "served"
	}
	var table strings.Builder
	for _, port := range []string{"client", "peer"} {
		for _, rpc := range rpcs() {
			fmt.Fprintf(&table, "%-7s %-42s", port, rpc)
			for _, p := range principals {
				fmt.Fprintf(&table, " %s=%s", p, verdict(port, p, rpc))
			}
			table.WriteByte('\n')
		}
	}
	if *rewrite {
		if err := os.WriteFile("testdata/principals.txt", []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/principals.txt")
	if err != nil {
		t.Fatal(err)
	}
	if table.String() != string(want) {
		t.Errorf("testdata/principals.txt has something else; if what follows is meant, go test -run EveryCallIsRefused -rewrite:\n%s", table.String())
	}
}

// call makes a call with an empty request and reads one answer.
func call(ctx context.Context, cc *grpc.ClientConn, method string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	if err := s.SendMsg(&emptypb.Empty{}); err != nil && !errors.Is(err, io.EOF) { // EOF: RecvMsg tells why
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	err = s.RecvMsg(&emptypb.Empty{})
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

var errShut = errors.New("the connection was refused")

// asBroker connects to the peer port and says, as far as it gets, that it is broker 99 of the cluster.
func asBroker(ctx context.Context, c *brokertest.Cluster, cfg *tls.Config) (*grpc.ClientConn, error) {
	raw, err := net.Dial("tcp", c.Config(1).PeerListen)
	if err != nil {
		return nil, err
	}
	if d, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(d) // an error shows at the next use
	}
	conn := raw
	if cfg != nil {
		cfg = cfg.Clone()
		cfg.InsecureSkipVerify = true // it is not the dialler that must be careful here
		s := tls.Client(raw, cfg)
		if err := s.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(errShut, raw.Close())
		}
		conn = s
	}
	if err := hello(conn, c.Broker(1).State().ClusterID); err != nil {
		_ = raw.Close() // the reason is err
		return nil, errors.Join(errShut, err)
	}
	used := false
	return grpc.NewClient("passthrough:///peer", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if used {
				return nil, errShut
			}
			used = true
			return conn, nil
		}))
}

// hello is the handshake between brokers, as rpc/peer documents it.
func hello(conn net.Conn, cluster string) error {
	body, err := proto.Marshal(&runnelv1.HelloRequest{ProtocolVersion: 1, ClusterId: cluster, BrokerId: 99, Incarnation: "i", BootNonce: 9, Version: "test"})
	if err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint16([]byte("RNLP"), uint16(len(body)))
	if _, err := conn.Write(append(b, body...)); err != nil {
		return err
	}
	head := make([]byte, 6)
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	answer := make([]byte, binary.LittleEndian.Uint16(head[4:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	resp := &runnelv1.HelloResponse{}
	if err := proto.Unmarshal(answer, resp); err != nil {
		return err
	}
	if e := resp.GetError(); e != nil {
		return e
	}
	return nil
}

// The frames of HTTP/2 that are needed to ask for a path that no client library sends.
func frame(kind, flags byte, stream uint32, body []byte) []byte {
	b := []byte{byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), body...)
}

// field is one header, literal and not indexed.
func field(name, value string) []byte {
	b := append([]byte{0, byte(len(name))}, name...)
	return append(append(b, byte(len(value))), value...)
}

// gRPC's own hole (CVE-2026-33186): a path without its slash was served and passed by whoever looks at paths.
func TestAPathWithoutItsSlashIsNoCall(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1, brokertest.TLS())
	cfg := c.ClientTLS("client")
	cfg.NextProtos = []string{"h2"}
	host, _, err := net.SplitHostPort(c.Config(1).Listen)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ServerName = host
	// served tells whether a response message came back.
	served := func(path string) bool {
		conn, err := tls.Dial("tcp", c.Config(1).Listen, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		headers := slices.Concat(field(":method", "POST"), field(":scheme", "https"), field(":path", path), field(":authority", host),
			field("content-type", "application/grpc"), field("te", "trailers"))
		request := slices.Concat([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, nil), frame(1, 4, 1, headers), frame(0, 1, 1, make([]byte, 5)))
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		for {
			head := make([]byte, 9)
			if _, err := io.ReadFull(conn, head); err != nil {
				t.Fatalf("%q: %v", path, err)
			}
			body := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
			if _, err := io.ReadFull(conn, body); err != nil {
				t.Fatal(err)
			}
			switch kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:]); {
			case kind == 0 && stream == 1: // DATA
				return true
			case kind == 3 && stream == 1, kind == 7, kind == 1 && stream == 1 && flags&1 != 0: // RST_STREAM, GOAWAY, or the end in the first headers
				return false
			}
		}
	}
	if !served("/runnel.v1.Admin/ListTopics") {
		t.Fatal("the right path is not served: this test shows nothing")
	}
	for _, path := range []string{"runnel.v1.Admin/ListTopics", "//runnel.v1.Admin/ListTopics", "/runnel.v1.Admin//ListTopics", "ListTopics", "*"} {
		if served(path) {
			t.Errorf("the path %q is served", path)
		}
	}
}
