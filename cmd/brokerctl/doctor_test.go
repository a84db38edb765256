package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

// TestDoctorOfARealClusterWithABrokerDown packs a bundle of two brokers that live, one with profiles, and one that is down, and looks in
// it for a record and for a secret of the environment.
func TestDoctorOfARealClusterWithABrokerDown(t *testing.T) {
	if testing.Short() {
		t.Skip("starts brokers")
	}
	const secret, content = "c2VjcmV0IG9mIDE2IGI=", "what-a-customer-wrote"
	t.Setenv("RUNNEL_GOSSIP_KEY_FILE", secret) // by mistake: it should be a file's name
	c := brokertest.Start(t, 3, brokertest.Edit(func(n int, c *broker.Config) { c.Pprof = n == 1 }))
	brokers := strings.Join(c.Seeds(), ",")
	dir := t.TempDir()
	ctl := func(stdin string, args ...string) result {
		t.Helper()
		var out, errOut bytes.Buffer
		a := &app{in: strings.NewReader(stdin), out: &out, errOut: &errOut, connect: connectSDK, getenv: func(name string) string {
			return map[string]string{"RUNNEL_BROKERS": brokers}[name]
		}}
		if status := execute(t.Context(), a, args); status != 0 {
			t.Fatalf("%v: status %d, %s", args, status, errOut.String())
		}
		return result{out.String(), errOut.String(), 0}
	}
	ctl("", "topic", "create", "orders", "--partitions", "3", "--replication-factor", "3")
	ctl(strings.Repeat(content+"\n", 100), "produce", "orders")
	gone, lives := c.Broker(3).ID(), c.Broker(2).ID() // ids come in the order of joining
	c.Crash(3)
	log := filepath.Join(dir, "brokerd.log")
	if err := os.WriteFile(log, []byte("level=INFO msg=started\nlevel=WARN msg=x key="+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(dir, "bundle.tar.gz")
	var told doctorJSON
	// The others need a moment to notice.
	found := false
	for range 60 {
		r := ctl("", "doctor", "--out", bundle, "--profile", "1s", "--log", log, "-o", "json")
		if err := json.Unmarshal([]byte(r.out), &told); err != nil {
			t.Fatal(err)
		}
		for _, f := range told.Findings {
			found = found || f.Bad && strings.Contains(f.What, fmt.Sprintf("not heard by the others: broker %d", gone))
		}
		if found {
			break
		}
	}
	if !found {
		t.Fatalf("that broker %d is down is not found: %+v", gone, told.Findings)
	}
	if told.Cluster == "" || told.Brokers != 3 || told.Telling != 2 {
		t.Errorf("%+v", told)
	}
	files, metrics := read(t, bundle), fmt.Sprintf("brokers/%d/metrics.txt", lives)
	for _, want := range []string{
		"findings.txt", "manifest.json", "cluster/status.json", "cluster/plan.json", "cluster/topics/0000.json", "brokers/1/metrics.txt", metrics,
		"brokers/1/settings.json", "brokers/1/readyz.txt", "brokers/1/cpu.pprof", "brokers/1/heap.pprof", "brokers/1/goroutines.txt", "logs/1-brokerd.log-",
	} {
		if len(files[want]) == 0 {
			t.Errorf("%s is missing or empty", want)
		}
	}
	for name, text := range files {
		if bytes.Contains(text, []byte(secret)) || bytes.Contains(text, []byte(content)) {
			t.Errorf("%s has the secret or a record", name)
		}
	}
	if !bytes.Contains(files[metrics], []byte("runnel_broker_disk_free_bytes")) {
		t.Error("the metrics are none")
	}
}

// read unpacks a bundle, without the folder it is in. Profiles are unpacked as well: a secret in one must not hide behind gzip.
func read(t *testing.T, name string) map[string][]byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(unzip(t, raw))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, short, _ := strings.Cut(h.Name, "/")
		if strings.HasSuffix(short, ".pprof") {
			text = unzip(t, text)
		}
		files[short] = text
	}
}

func unzip(t *testing.T, raw []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDoctorLeavesNothingHalfMade(t *testing.T) {
	f := newFakeCluster()
	dir := t.TempDir()
	if r := try(t.Context(), f, "", "doctor", "--out", filepath.Join(dir, "none", "x.tar.gz")); r.status != 1 || !strings.Contains(r.err, "--out names another place") {
		t.Errorf("%+v", r)
	}
	if r := try(t.Context(), f, "", "doctor", "--profile", "1h"); r.status != 1 || !strings.Contains(r.err, "--profile is 1h0m0s: use a time") {
		t.Errorf("%+v", r)
	}
	if r := try(t.Context(), f, "", "doctor", "--profile", "0s", "--unit", "", "--out", filepath.Join(dir, "x.tar.gz")); r.status != 0 || !strings.Contains(r.out, "written: ") {
		t.Errorf("%+v", r)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}
