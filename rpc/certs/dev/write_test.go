package dev_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/rpc/certs"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

func TestASetIsForItsOwnerAndNotForEver(t *testing.T) {
	dir, now := filepath.Join(t.TempDir(), "certs"), time.Now()
	if err := dev.Write(dir, []string{"localhost", "10.1.2.3"}, now); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		if !strings.HasSuffix(e.Name(), ".crt") {
			continue
		}
		c := read(t, filepath.Join(dir, e.Name()))
		if most := now.Add(366 * 24 * time.Hour); c.NotAfter.After(most) || !c.IsCA && c.NotAfter.After(now.Add(91*24*time.Hour)) {
			t.Errorf("%s lasts until %v", e.Name(), c.NotAfter)
		}
	}
	if want := slices.Sorted(slices.Values(dev.Files())); !slices.Equal(names, want) {
		t.Errorf("wrote %v, want %v", names, want)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	broker := read(t, filepath.Join(dir, dev.BrokerCert))
	for _, host := range []string{"localhost", "10.1.2.3"} {
		if err := broker.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if peer := read(t, filepath.Join(dir, dev.PeerCert)); len(peer.URIs) != 1 || peer.URIs[0].String() != certs.PeerRole {
		t.Errorf("the peer's certificate has the roles %v", peer.URIs)
	}
	for _, name := range []string{dev.BrokerCert, dev.ClientCert} {
		if c := read(t, filepath.Join(dir, name)); len(c.URIs) != 0 {
			t.Errorf("%s has the roles %v", name, c.URIs)
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	kept := filepath.Join(dir, dev.PeerKey)
	if err := os.WriteFile(kept, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dev.Write(dir, nil, time.Now()); err == nil || !strings.Contains(err.Error(), dev.PeerKey) {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(kept); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("it wrote some of the files all the same: %v, %v", entries, err)
	}
}

func read(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
