package broker_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/gossip"
	"github.com/runnel-io/runnel/rpc/certs/dev"
	"github.com/runnel-io/runnel/rpc/client"
)

// metric adds up the samples of a broker's metric whose labels hold with.
func metric(t *testing.T, c *brokertest.Cluster, n int, name, with string) float64 {
	t.Helper()
	resp, err := http.Get("http://" + c.Config(n).HTTPListen + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	sum := 0.0
	for _, m := range regexp.MustCompile("(?m)^"+name+`(\{[^}]*\})? (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[1], with) {
			v, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += v
		}
	}
	return sum
}

func secureClient(t *testing.T, c *brokertest.Cluster) *client.Client {
	t.Helper()
	return dial(t, c, client.WithTLS(c.ClientTLS("client")))
}

func TestAClusterWithTLSServesWhoShowsACertificate(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3, brokertest.TLS())
	cl := secureClient(t, c)
	create(t, cl, "orders", 3, 3)
	produce(t, cl, "orders", 0, 1000)
	wantEach(t, readAll(t, cl, "orders"), 1000)
	c.StopBroker(1)
	c.Restart(1)
	c.WaitReady()
	wantEach(t, readAll(t, cl, "orders"), 1000)
	for name, cfg := range map[string]*tls.Config{
		"certificate required": c.ClientTLS(""), "authority": c.ClientTLS("peer"), "unknown authority": {MinVersion: tls.VersionTLS12},
	} {
		stranger := dial(t, c, client.WithTLS(cfg), client.WithFailFast())
		if _, err := stranger.Metadata(patient(t), "orders"); err == nil || !strings.Contains(err.Error(), "TLS: ") || !strings.Contains(err.Error(), name) {
			t.Errorf("a client that shows %q: %v", name, err)
		}
	}
	stranger := dial(t, c, client.WithFailFast())
	if _, err := stranger.Metadata(patient(t), "orders"); err == nil || !strings.Contains(err.Error(), "may want TLS") {
		t.Errorf("a client without TLS: %v", err)
	}
}

// A whole change of CAs, certificates and keys, in the steps that operators take, while records are written and read. Nothing fails, no
// connection is dropped, and at the end what was there before is worth nothing.
func TestEverythingIsRotatedUnderLoad(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3, brokertest.TLS())
	cl := secureClient(t, c)
	create(t, cl, "orders", 3, 3)
	old := map[string][]byte{}
	for _, name := range dev.Files() {
		text, err := os.ReadFile(filepath.Join(c.Certs(), name))
		if err != nil {
			t.Fatal(err)
		}
		old[name] = text
	}
	stop, written := make(chan struct{}), make(chan int)
	var errs atomic.Pointer[error]
	go func() { // ends by stop
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				written <- n
				return
			default:
			}
			if err := cl.ProduceSync(patient(t), &client.Record{Topic: "orders", Partition: -1, Value: fmt.Append(nil, "value-", n)}); err != nil {
				errs.CompareAndSwap(nil, &err)
			}
		}
	}()
	connects, met := 0.0, 0.0
	for n := 1; n <= 3; n++ {
		connects += metric(t, c, n, "runnel_peer_connects_total", "")
	}
	before := c.ClientTLS("client")

	fresh := filepath.Join(t.TempDir(), "fresh")
	if err := dev.Write(fresh, c.Addresses(), time.Now()); err != nil {
		t.Fatal(err)
	}
	next := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(fresh, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	both := func(first, second []byte) []byte { return append(bytes.Clone(first), second...) }
	put := func(name string, text []byte) { // each file at once, not all of them
		if err := os.WriteFile(filepath.Join(fresh, "next"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(fresh, "next"), filepath.Join(c.Certs(), name)); err != nil {
			t.Fatal(err)
		}
	}
	// step waits until all brokers have taken what changed, three times each, and a new client is served.
	step := func(what string) {
		met++
		for n := 1; n <= 3; n++ {
			for _, use := range []string{"client", "peer", "gossip"} {
				c.Eventually(func() bool { return metric(t, c, n, "runnel_tls_reloads_total", `result="ok",use="`+use) >= met },
					func() string { return fmt.Sprintf("%s: broker %d did not take the change of %s", what, n, use) })
			}
		}
		late := secureClient(t, c)
		produce(t, late, "orders-"+what, 0, 10)
	}
	for _, what := range []string{"both", "new", "alone"} {
		create(t, cl, "orders-"+what, 1, 3)
	}
	put(dev.CACert, both(old[dev.CACert], next(dev.CACert)))
	put(dev.PeerCACert, both(old[dev.PeerCACert], next(dev.PeerCACert)))
	put(dev.GossipKeyFile, both(old[dev.GossipKeyFile], next(dev.GossipKeyFile)))
	step("both")
	for _, name := range []string{dev.BrokerCert, dev.BrokerKey, dev.ClientCert, dev.ClientKey, dev.PeerCert, dev.PeerKey} {
		put(name, next(name))
	}
	put(dev.GossipKeyFile, both(next(dev.GossipKeyFile), old[dev.GossipKeyFile]))
	step("new")
	for _, name := range []string{dev.CACert, dev.PeerCACert, dev.GossipKeyFile} {
		put(name, next(name))
	}
	step("alone")

	close(stop)
	n := <-written
	if err := errs.Load(); err != nil {
		t.Errorf("a record was not acknowledged: %v", *err)
	}
	wantEach(t, readAll(t, cl, "orders"), n)
	for i := 1; i <= 3; i++ {
		connects -= metric(t, c, i, "runnel_peer_connects_total", "")
		if k := metric(t, c, i, "runnel_gossip_refused_total", ""); k != 0 {
			t.Errorf("broker %d refused %v packets of gossip", i, k)
		}
		if m := metric(t, c, i, "runnel_gossip_members", ""); m != 3 {
			t.Errorf("broker %d sees %v members", i, m)
		}
	}
	stale, err := gossip.Start(patient(t), gossip.Config{
		Listen: "127.0.0.1:0", Seeds: []string{c.Config(1).GossipListen}, Meta: gossip.Meta{Nonce: 1}, Profile: gossip.ProfileLocal,
		Keys: [][]byte{keyIn(t, old[dev.GossipKeyFile])},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stale.Stop(patient(t)); err != nil {
			t.Error(err)
		}
	}()
	c.Eventually(func() bool { return metric(t, c, 1, "runnel_gossip_refused_total", `"key"`) > 0 }, func() string { return "gossip's former key still counts" })
	if connects != 0 {
		t.Errorf("%v connections between brokers were dropped and made again", -connects)
	}
	if _, err := dial(t, c, client.WithTLS(before), client.WithFailFast()).Metadata(patient(t), "orders"); err == nil {
		t.Error("a client's certificate of the former CA still counts, and its CA is trusted")
	}
}

func keyIn(t *testing.T, line []byte) []byte {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(line)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestABrokenFileIsNamedAndTheFormerOneServes(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 1, brokertest.TLS())
	if err := os.WriteFile(filepath.Join(c.Certs(), dev.BrokerKey), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Eventually(func() bool { return metric(t, c, 1, "runnel_tls_reloads_total", `result="failed",use="client"`) == 1 },
		func() string { return "the broken file was not noticed" })
	create(t, secureClient(t, c), "orders", 1, 1)
}

func TestAddressesForOthersNeedClosedDoorsOrConsent(t *testing.T) {
	t.Parallel()
	files := broker.TLS{ClientCert: "c", ClientKey: "k", ClientCA: "ca", PeerCert: "c", PeerKey: "k", PeerCA: "ca", GossipKeys: "g"}
	without := func(f func(*broker.TLS)) broker.TLS { out := files; f(&out); return out }
	for _, x := range []struct {
		name  string
		open  string // the key of the address that is not loopback
		tls   broker.TLS
		edit  func(*broker.Config)
		wants []string // in the error; none: it is allowed
	}{
		{"client", "listen", without(func(t *broker.TLS) { t.ClientCert, t.ClientKey, t.ClientCA = "", "", "" }), nil, []string{"listen:", "tls.client.cert", "--insecure"}},
		{"peer", "peer.listen", without(func(t *broker.TLS) { t.PeerCert, t.PeerKey, t.PeerCA = "", "", "" }), nil, []string{"peer.listen:", "tls.peer.cert", "--insecure"}},
		{"gossip", "gossip.listen", without(func(t *broker.TLS) { t.GossipKeys = "" }), nil, []string{"gossip.listen:", "gossip.key.file", "--insecure"}},
		{"http", "http.listen", files, nil, []string{"http.listen:", "http.insecure"}},
		{"client closed", "listen", files, nil, nil},
		{"peer closed", "peer.listen", files, nil, nil},
		{"gossip closed", "gossip.listen", files, nil, nil},
		{"http by name", "http.listen", broker.TLS{}, func(c *broker.Config) { c.HTTPInsecure = true }, nil},
		{"all by name", "listen", broker.TLS{}, func(c *broker.Config) { c.Insecure = true }, nil},
		{"http.insecure opens nothing else", "listen", broker.TLS{}, func(c *broker.Config) { c.HTTPInsecure = true }, []string{"listen:"}},
		{"no CA of clients", "", without(func(t *broker.TLS) { t.ClientCA = "" }), nil, []string{"tls.client.ca", "tls.client.auth"}},
		{"no CA of clients, by name", "listen", without(func(t *broker.TLS) { t.ClientCA, t.ClientAuth = "", broker.AuthNone }), nil, nil},
		{"no key", "", without(func(t *broker.TLS) { t.ClientKey = "" }), nil, []string{"tls.client.key"}},
		{"half a peer", "", without(func(t *broker.TLS) { t.PeerCA = "" }), nil, []string{"all three"}},
		{"a word", "", without(func(t *broker.TLS) { t.ClientAuth = "maybe" }), nil, []string{"maybe", "require"}},
	} {
		cfg := broker.Config{
			DataDir: "d", Listen: "127.0.0.1:1", PeerListen: "127.0.0.1:2", GossipListen: "[::1]:3", HTTPListen: "localhost:4", TLS: x.tls,
		}
		for key, addr := range map[string]*string{
			"listen": &cfg.Listen, "peer.listen": &cfg.PeerListen, "gossip.listen": &cfg.GossipListen, "http.listen": &cfg.HTTPListen,
		} {
			if key == x.open {
				*addr = "10.0.0.1:9"
			}
		}
		if x.edit != nil {
			x.edit(&cfg)
		}
		err := cfg.Validate()
		if (err == nil) != (x.wants == nil) {
			t.Errorf("%s: got %v", x.name, err)
			continue
		}
		for _, w := range x.wants {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q lacks %q", x.name, err, w)
			}
		}
	}
}

func TestConnectionsAboveTheCapAreRefusedAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	const most = 40
	c := brokertest.Start(t, 1, brokertest.TLS(), brokertest.Edit(func(_ int, cfg *broker.Config) { cfg.MaxConnections = most }))
	cl := secureClient(t, c)
	create(t, cl, "orders", 1, 1)
	var open []net.Conn
	for range 3 * most {
		conn, err := net.Dial("tcp", c.Config(1).Listen)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	c.Eventually(func() bool {
		return metric(t, c, 1, "runnel_broker_refused_connections_total", `"connections"`) >= 2*most
	}, func() string { return "fewer were refused than are above the cap" })
	produce(t, cl, "orders", 0, 100)
	for _, conn := range open {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	late := secureClient(t, c)
	produce(t, late, "orders", 100, 100)
	wantEach(t, readAll(t, late, "orders"), 200)
}
