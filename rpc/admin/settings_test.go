package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

type callerFunc func(broker int32, method string) ([]byte, error)

func (f callerFunc) Call(_ context.Context, broker int32, method string, _ []byte) ([]byte, error) {
	return f(broker, method)
}

func TestSettingsOfAnotherBrokerComeFromThatBroker(t *testing.T) {
	h := newHarness(t)
	own := []Setting{{Name: "log.level", Value: "info", Source: "file", Reload: ReloadRuntime}}
	h.s.settings = func() []Setting { return own }
	h.s.caller = callerFunc(func(broker int32, method string) ([]byte, error) {
		if method != MethodSettings {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "method %q", method)
		}
		if broker == 3 {
			return []byte(`{"format":9}`), nil
		}
		return ServeSettings(nil, []Setting{{Name: "log.level", Value: "debug", Base: "warn", Source: SourceBroker, Reload: ReloadRuntime, Problem: "p", Whole: true}})
	})
	for id, want := range map[int32]string{
		1: `name:"log.level" value:"info" source:"file" reload:"runtime"`,
		2: `name:"log.level" value:"debug" source:"broker" reload:"runtime" base:"warn" whole:true problem:"p"`,
	} {
		r, err := h.s.ListSettings(t.Context(), &runnelv1.ListSettingsRequest{Broker: id})
		if err != nil || len(r.GetSettings()) != 1 || r.GetRevision() != 8 {
			t.Fatalf("broker %d: %v, %v", id, r, err)
		}
		if got := strings.Join(strings.Fields(r.GetSettings()[0].String()), " "); got != want {
			t.Errorf("broker %d: %s, want %s", id, got, want)
		}
	}
	_, err := h.s.ListSettings(t.Context(), &runnelv1.ListSettingsRequest{Broker: 3})
	if e := runnelv1.FromStatus(err); !strings.Contains(e.GetMessage(), "run one version") {
		t.Errorf("an answer in another format: %v", err)
	}
	h.s.caller = callerFunc(func(int32, string) ([]byte, error) { return []byte(`{"format":1,"settings":7}`), nil })
	_, err = h.s.ListSettings(t.Context(), &runnelv1.ListSettingsRequest{Broker: 3})
	if e := runnelv1.FromStatus(err); !strings.Contains(e.GetMessage(), "broker 3 told its settings in a form that is not readable") {
		t.Errorf("an answer that is none: %v", err)
	}
	_, err = h.s.ListSettings(t.Context(), &runnelv1.ListSettingsRequest{Broker: 4})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER, definite)
	_, err = h.s.ListSettings(t.Context(), &runnelv1.ListSettingsRequest{Broker: -1})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, definite)
}

func TestTheClustersSettingsAreWhatIsSetAndWhatCanBe(t *testing.T) {
	h := newHarness(t)
	h.s.settings = func() []Setting {
		return []Setting{{Name: "b", Reload: ReloadRuntime, Value: "of the file"}, {Name: "a", Reload: ReloadRestart}, {Name: "c", Reload: ReloadRuntime, Whole: true}}
	}
	h.cluster.st.Settings = map[string]string{"c": "1", "of.tomorrow": "2"}
	h.cluster.st.BrokerSettings = map[int32]map[string]string{2: {"b": "3"}, 3: {"b": "4"}}
	r, err := h.s.ListSettings(t.Context(), &runnelv1.ListSettingsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range r.GetSettings() {
		names = append(names, s.GetName()+"="+s.GetValue())
	}
	if want := []string{"b=", "c=1", "of.tomorrow=2"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if b, c := r.GetSettings()[0], r.GetSettings()[1]; b.GetBrokers()[2] != "3" || b.GetBrokers()[3] != "4" || !c.GetWhole() || c.GetSource() != SourceCluster {
		t.Errorf("%v", r)
	}
}

func TestAnAlterationTellsTheControllerWhoAskedForIt(t *testing.T) {
	h := newHarness(t)
	h.ctrl.f = func(controller.Request) (controller.Response, error) {
		return controller.Response{Revision: 8, Topic: h.cluster.st.Topics["t"], Changes: []placement.Change{{Key: "a", Old: "1", New: "2"}}}, nil
	}
	at := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 5}
	plain := peer.NewContext(t.Context(), &peer.Peer{Addr: at})
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}}
	verified := peer.NewContext(t.Context(), &peer.Peer{Addr: at, AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}}}})
	// A certificate that nobody verified names nobody.
	claimed := peer.NewContext(t.Context(), &peer.Peer{Addr: at, AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}}})
	for _, x := range []struct {
		ctx context.Context
		by  string
	}{{plain, "10.0.0.9:5"}, {verified, "10.0.0.9:5 (CN=alice)"}, {claimed, "10.0.0.9:5"}, {t.Context(), ""}} {
		r, err := h.s.AlterSettings(x.ctx, &runnelv1.AlterSettingsRequest{Broker: 2, Set: map[string]string{"a": "2"}, Unset: []string{"c", "b", "c"}})
		if err != nil || r.GetRevision() != 8 || len(r.GetChanges()) != 1 || r.GetChanges()[0].GetOld() != "1" {
			t.Fatalf("%v, %v", r, err)
		}
		got, ok := h.ctrl.last.(controller.AlterSettings)
		if !ok || got.By != x.by || got.Broker != 2 || got.Set["a"] != "2" || !slices.Equal(got.Unset, []string{"b", "c"}) {
			t.Errorf("asked for %+v, by %q", h.ctrl.last, x.by)
		}
		for _, alter := range []*runnelv1.AlterTopicRequest{
			{Name: "t", SetConfig: map[string]string{"retention.ms": "2"}}, {Name: "t", Partitions: 5}, {Name: "t", ReplicationFactor: 2},
		} {
			if _, err := h.s.AlterTopic(x.ctx, alter); err != nil {
				t.Fatal(err)
			}
			by := "?"
			switch q := h.ctrl.last.(type) {
			case controller.AlterTopicConfig:
				by = q.By
			case controller.AddPartitions:
				by = q.By
			case controller.SetReplicationFactor:
				by = q.By
			}
			if by != x.by {
				t.Errorf("%v was asked for by %q, not %q", alter, x.by, by)
			}
		}
	}
}
