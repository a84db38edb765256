package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// fakeAdmin answers as a cluster whose brokers serve HTTP at the addresses, by id from 1; "" is one that gossip does not see.
type fakeAdmin struct {
	http []string
	down error
	edit func(*runnelv1.ClusterStatusResponse)

	settings []*runnelv1.SettingDescription
}

func (a fakeAdmin) ClusterStatus(context.Context, *runnelv1.ClusterStatusRequest) (*runnelv1.ClusterStatusResponse, error) {
	if a.down != nil {
		return nil, a.down
	}
	r := &runnelv1.ClusterStatusResponse{ClusterId: "qUz3sWv1", ControllerId: 1}
	for i, addr := range a.http {
		r.Brokers = append(r.Brokers, &runnelv1.BrokerDescription{Id: int32(i) + 1, Alive: addr != "", HttpAddress: addr, Version: "v0.1.0"})
	}
	if a.edit != nil {
		a.edit(r)
	}
	return r, nil
}

func (a fakeAdmin) ListTopics(context.Context, *runnelv1.ListTopicsRequest) (*runnelv1.ListTopicsResponse, error) {
	return &runnelv1.ListTopicsResponse{Topics: []*runnelv1.TopicSummary{{Name: "../orders", Partitions: 1, ReplicationFactor: 3}}}, a.down
}

func (a fakeAdmin) DescribeTopic(_ context.Context, r *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error) {
	return &runnelv1.DescribeTopicResponse{Name: r.GetName()}, a.down
}

func (a fakeAdmin) ListMoves(context.Context, *runnelv1.ListMovesRequest) (*runnelv1.ListMovesResponse, error) {
	return &runnelv1.ListMovesResponse{}, a.down
}

func (a fakeAdmin) ListSettings(_ context.Context, r *runnelv1.ListSettingsRequest) (*runnelv1.ListSettingsResponse, error) {
	if r.GetBroker() == 2 {
		return nil, errors.New("broker 2 does not answer")
	}
	return &runnelv1.ListSettingsResponse{Settings: a.settings}, a.down
}

func (a fakeAdmin) Plan(context.Context, *runnelv1.PlanRequest) (*runnelv1.PlanResponse, error) {
	return &runnelv1.PlanResponse{}, a.down
}

// fakeBroker serves what a broker serves, from a table of paths.
func fakeBroker(t *testing.T, pages map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, page)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// healthy has what a broker answers that nothing is wrong with.
func healthy() map[string]string {
	return map[string]string{
		"/metrics": "process_max_fds 1.048576e+06\nprocess_open_fds 40\nrunnel_broker_disk_free_bytes 9e+11\nrunnel_broker_disk_full 0\n",
		"/healthz": "ok\n", "/readyz": "ok\n",
	}
}

func run(t *testing.T, o Options) (Result, map[string]string) {
	t.Helper()
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 20
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	o.Now, o.Progress, o.By = time.Now, func(string) {}, "a test"
	var out bytes.Buffer
	r, err := Run(t.Context(), &out, o)
	if err != nil {
		t.Fatal(err)
	}
	return r, unpack(t, out.Bytes())
}

// unpack gives the files of a bundle by name, without the folder they are in, and holds them against the manifest.
func unpack(t *testing.T, bundle []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(bundle))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	var order []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		files[name], order = string(text), append(order, name)
		if h.Mode != 0o600 || !filepath.IsLocal(h.Name) {
			t.Errorf("%s has mode %o", h.Name, h.Mode)
		}
	}
	if len(order) < 2 || order[0] != "findings.txt" || order[1] != "manifest.json" {
		t.Errorf("findings and manifest do not come first: %v", order)
	}
	var m Manifest
	if err := json.Unmarshal([]byte(files["manifest.json"]), &m); err != nil {
		t.Fatal(err)
	}
	listed := 0
	for _, e := range m.Entries {
		text, there := files[e.Name]
		if there == (e.Error != "") {
			t.Errorf("%s: there is %v, and the manifest says %q", e.Name, there, e.Error)
		}
		if !there {
			continue
		}
		listed++
		if sum := sha256.Sum256([]byte(text)); hex.EncodeToString(sum[:]) != e.SHA256 || len(text) != e.Bytes {
			t.Errorf("%s is not what the manifest says", e.Name)
		}
	}
	if listed != len(files)-2 {
		t.Errorf("the manifest lists %d of %d files", listed, len(files)-2)
	}
	return files
}

func TestABrokerThatIsDownCostsItsOwnEntriesOnly(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	gone := strings.TrimPrefix(s.URL, "http://")
	s.Close()
	pages := healthy()
	pages["/debug/pprof/goroutine"], pages["/debug/pprof/heap"], pages["/debug/pprof/profile"] = "goroutine profile: total 9", "a heap", "a profile"
	r, files := run(t, Options{Admin: fakeAdmin{http: []string{fakeBroker(t, pages), gone, "", fakeBroker(t, healthy())}}, Profile: time.Second})
	for _, name := range []string{
		"cluster/status.json", "cluster/plan.json", "cluster/topics.json", "cluster/topics/0000.json", "brokers/1/metrics.txt", "brokers/1/settings.json", "cluster/settings.json",
		"brokers/1/goroutines.txt", "brokers/1/heap.pprof", "brokers/1/cpu.pprof", "brokers/4/metrics.txt", "brokers/4/readyz.txt",
	} {
		if files[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	if files["brokers/2/metrics.txt"] != "" || files["brokers/3/metrics.txt"] != "" || files["brokers/4/heap.pprof"] != "" {
		t.Error("there are files of brokers that gave none")
	}
	if r.Brokers != 4 || r.Telling != 2 {
		t.Errorf("%d of %d brokers told", r.Telling, r.Brokers)
	}
	for _, want := range []string{
		"BAD   not heard by the others: broker 3", "warn  broker 2 gives no metrics", "note: no profiles of broker 4: pprof is off there", "metrics of 2 of 4 brokers",
	} {
		if !strings.Contains(files["findings.txt"], want) {
			t.Errorf("the findings lack %q:\n%s", want, files["findings.txt"])
		}
	}
}

func TestNothingLooksWrongWhereNothingIs(t *testing.T) {
	r, files := run(t, Options{Admin: fakeAdmin{http: []string{fakeBroker(t, healthy()), fakeBroker(t, healthy())}}})
	if len(r.Findings) != 0 || !strings.Contains(files["findings.txt"], "nothing looks wrong") {
		t.Errorf("%s", files["findings.txt"])
	}
}

func TestWithoutAClusterTheNamedAddressesAreAsked(t *testing.T) {
	log := filepath.Join(t.TempDir(), "brokerd.log")
	if err := os.WriteFile(log, []byte("level=ERROR msg=\"the broker cannot go on\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pages := healthy()
	delete(pages, "/readyz")
	addr := fakeBroker(t, pages)
	r, files := run(t, Options{Admin: fakeAdmin{down: errors.New("no broker\nanswers")}, HTTP: []string{addr, addr}, Logs: []string{log, log + ".1"}})
	if r.Brokers != 1 || r.Telling != 1 || len(r.Findings) == 0 || !r.Findings[0].Bad || !strings.Contains(r.Findings[0].What, "no broker answers") {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(files["logs/1-brokerd.log-"], "cannot go on") {
		t.Errorf("the log is missing: %v", r.Manifest.Entries)
	}
}

func TestNoSecretIsInTheBundle(t *testing.T) {
	const secret, word = "c2VjcmV0IG9mIDE2IGI=", "correct-horse-battery"
	const key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIK5m\n-----END EC PRIVATE KEY-----"
	pages := healthy()
	settings := []*runnelv1.SettingDescription{
		{Name: "gossip.key.file", Value: secret}, {Name: "tls.client.key", Value: "/etc/runnel/broker.key"}, {Name: "seeds", Value: "https://me:" + word + "@host/"},
	}
	pages["/metrics"] += "x{label=\"" + secret + "\"} 1\n"
	pages["/readyz"] = "waits for token=" + word + "\n"
	log := filepath.Join(t.TempDir(), "log")
	lines := []string{"gIK5m", "MHcCAQEEIK5m", "-----END EC PRIVATE KEY-----", "password: " + word, `{"msg":"x","secret":"` + word + `"}`, "Authorization: Bearer " + word, key, "key " + secret}
	if err := os.WriteFile(log, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	r, files := run(t, Options{
		Admin: fakeAdmin{http: []string{fakeBroker(t, pages)}, settings: settings, edit: func(s *runnelv1.ClusterStatusResponse) { s.PlacementUnknown = "password=" + word }},
		Logs:  []string{log}, Environ: []string{"RUNNEL_GOSSIP_KEY_FILE=" + secret, "HOME=/home/brokerd-user", "SHORT_KEY=ok"},
	})
	for name, text := range files {
		for _, s := range []string{secret, word, "IK5m"} {
			if strings.Contains(text, s) {
				t.Errorf("%s has the secret %s:\n%s", name, s, text)
			}
		}
	}
	if !strings.Contains(files["brokers/1/settings.json"], "/etc/runnel/broker.key") {
		t.Errorf("a key's file is not told: %s", files["brokers/1/settings.json"])
	}
	for _, e := range r.Manifest.Entries {
		if strings.HasPrefix(e.Name, "logs/") && e.Secrets < 6 {
			t.Errorf("%d secrets were cut out of the log", e.Secrets)
		}
	}
}

func TestTheBundleIsBounded(t *testing.T) {
	pages := healthy()
	pages["/metrics"] += strings.Repeat("# much\n", 10_000)
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte(strings.Repeat("old\n", 40_000)+"the newest line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, files := run(t, Options{Admin: fakeAdmin{http: []string{fakeBroker(t, pages)}}, Logs: []string{log}, MaxBytes: 50_000})
	sum, cut := 0, 0
	for name, text := range files {
		if name != "findings.txt" && name != "manifest.json" {
			sum += len(text)
		}
	}
	for _, e := range r.Manifest.Entries {
		if e.Cut {
			cut++
		}
	}
	if sum > 50_000 || cut == 0 {
		t.Errorf("%d bytes, %d entries are cut", sum, cut)
	}
	if text, there := files["logs/1-log-"]; there && !strings.HasSuffix(text, "the newest line\n") {
		t.Error("of the log not the end is kept")
	}
}

func TestABrokerThatHangsDoesNotHoldTheBundle(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-hold:
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(hold) })
	hangs := strings.TrimPrefix(s.URL, "http://")
	r, _ := run(t, Options{Admin: fakeAdmin{http: []string{hangs, fakeBroker(t, healthy())}}, Patience: 50 * time.Millisecond})
	if r.Telling != 1 {
		t.Errorf("%d told", r.Telling)
	}
}
