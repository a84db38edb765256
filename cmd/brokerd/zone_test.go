package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kubernetes answers for node-1 in zone-a and node-2 in no zone, to whoever brings the token.
func kubernetes(t *testing.T) (api, account string) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		switch r.URL.Path {
		case "/api/v1/nodes/node-1":
			fmt.Fprint(w, `{"metadata":{"labels":{"kubernetes.io/hostname":"node-1","topology.kubernetes.io/zone":"zone-a"}}}`)
		case "/api/v1/nodes/node-4":
			fmt.Fprint(w, `{"metadata":{"labels":{"topology.kubernetes.io/zone":"zone-a\nzone-b"}}}`)
		case "/api/v1/nodes/node-2":
			fmt.Fprint(w, `{"metadata":{"name":"node-2"}}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	account = t.TempDir()
	put := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(account, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("token", []byte("secret\n"))
	put("ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	return s.URL, account
}

func TestRackIsTheZoneOfTheNode(t *testing.T) {
	api, account := kubernetes(t)
	for node, want := range map[string]string{"node-1": "zone-a", "node-2": ""} {
		file := filepath.Join(t.TempDir(), "rack")
		var out, errs bytes.Buffer
		args := []string{"kubernetes-zone", "--api", api, "--account", account, "--node", node, "--out", file}
		if status := run(t.Context(), args, nil, &out, &errs); status != 0 {
			t.Fatalf("%s: status %d: %s", node, status, errs.String())
		}
		cfg, _, err := settle(t, "", nil, []string{"--rackfile", file})
		if err != nil || cfg.Rack != want {
			t.Errorf("%s: rack %q, %v", node, cfg.Rack, err)
		}
	}
}

func TestZoneThatCannotBeHadIsSaid(t *testing.T) {
	api, account := kubernetes(t)
	file := filepath.Join(t.TempDir(), "rack")
	stranger := t.TempDir()
	if err := os.WriteFile(filepath.Join(stranger, "token"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stranger, "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--api", api, "--account", account, "--node", "node-3"}, "404 Not Found for node node-3"},
		{[]string{"--api", api, "--account", account, "--node", "node-4"}, "which Kubernetes allows no label"},
		{[]string{"--api", api, "--account", stranger, "--node", "node-1"}, "may not get node node-1"},
		{[]string{"--api", api, "--account", t.TempDir(), "--node", "node-1"}, "no token of the Kubernetes API"},
		{[]string{"--account", account, "--node", "node-1"}, "KUBERNETES_SERVICE_HOST"},
		{[]string{"--api", api, "--account", account}, "give --node and --out"},
	} {
		var out, errs bytes.Buffer
		status := run(t.Context(), append([]string{"kubernetes-zone", "--out", file}, c.args...), nil, &out, &errs)
		if status == 0 || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%q: status %d, %s", c.args, status, errs.String())
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written all the same")
	}
}

func TestRackIsNamedOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rack")
	if err := os.WriteFile(file, []byte("b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := settle(t, "", nil, []string{"--rack", "a", "--rackfile", file}); err == nil || !strings.Contains(err.Error(), "rackfile") {
		t.Errorf("both were taken: %v", err)
	}
	if _, _, err := settle(t, "", nil, []string{"--rackfile", file + ".missing"}); err == nil || !strings.Contains(err.Error(), "rackfile: ") {
		t.Errorf("a missing file was taken: %v", err)
	}
	if err := os.WriteFile(file, []byte("b\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := settle(t, "", nil, []string{"--rackfile", file}); err == nil || !strings.Contains(err.Error(), "one line") {
		t.Errorf("two lines were taken: %v", err)
	}
}
