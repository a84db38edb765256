package certs

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/env/allocs"
)

// Which file FuzzFiles changes.
const (
	fileCert = iota
	fileKey
	fileCA
	fileGossip
	fuzzedFiles
)

// secretLine is the length from which a line of a file may be no part of an error: shorter ones are words.
const secretLine = 20

// FuzzFiles changes one of the files that a running broker reads again. What is refused leaves the former ones in force, and the error has words
// but no key in it. What is accepted is all that the file holds, and nothing else.
func FuzzFiles(f *testing.F) {
	good, now := fuzzPair(f)
	const keys = "# from the vault\nAQEBAQEBAQEBAQEBAQEBAQ==\n\n  AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"
	good = append(good, []byte(keys))
	for i, text := range good {
		f.Add(byte(i), text)
		f.Add(byte(i), text[:len(text)/2])
		f.Add(byte(i), bytes.Repeat(text, 2))
		f.Add(byte(i), append(bytes.Clone(text), text[:len(text)/2]...))
	}
	f.Add(byte(fileCA), append([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"), good[fileCA]...))
	f.Add(byte(fileGossip), []byte(strings.Repeat("AQEBAQEBAQEBAQEBAQEBAQ==\n", 2)))
	f.Add(byte(fileGossip), []byte("c2VjcmV0c2VjcmV0c2VjcmV0!!\n"))
	m, err := NewMetrics(nil)
	if err != nil {
		f.Fatal(err)
	}
	s := &Store{
		use: usePeer, files: Files{Cert: "a.crt", Key: "a.key", CA: "a.ca"}, require: true,
		o: Options{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler), Metrics: m},
	}
	f.Fuzz(func(t *testing.T, which byte, text []byte) {
		if which %= fuzzedFiles; which == fileGossip {
			allocs.Most(t, 1<<20+16*uint64(len(text)), func() { rereadKeys(t, text) })
			return
		}
		if err := s.take(good[:fileGossip]); err != nil {
			t.Fatalf("the good files: %v", err)
		}
		before, changed := s.current.Load(), slices.Clone(good[:fileGossip])
		changed[which] = text
		var err error
		allocs.Most(t, 8<<20+256*uint64(len(text)), func() { err = s.take(changed) })
		after := s.current.Load()
		if err != nil {
			if after != before {
				t.Fatalf("it was refused, %v, and is in force", err)
			}
			tellsNoSecret(t, err, text)
			if !strings.Contains(err.Error(), "a.crt") && !strings.Contains(err.Error(), "a.ca") {
				t.Fatalf("the error names no file: %v", err)
			}
			return
		}
		if now.After(after.cert.Leaf.NotAfter) || hasRole(after.cert.Leaf) != nil {
			t.Fatalf("a certificate is in force that other brokers refuse: %+v", after.cert.Leaf)
		}
		if which != fileCA {
			return
		}
		whole := 0
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "CERTIFICATE" {
				whole++
			}
		}
		if begun := bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----")); begun > whole {
			t.Fatalf("%d CAs of %d are in force", whole, begun)
		}
		if bytes.ContainsRune(text, ':') {
			return // Go's reader knows no certificates with headers
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) || !roots.Equal(after.roots) {
			t.Fatal("the CAs in force are not those of the file")
		}
	})
}

// rereadKeys: keys that are accepted are as many as there are lines, and the same when they are written again.
func rereadKeys(t *testing.T, text []byte) {
	keys, err := parseKeys(text)
	if err != nil {
		tellsNoSecret(t, err, text)
		return
	}
	lines := 0
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines++
		}
	}
	var written []byte
	for _, key := range keys {
		written = append(base64.StdEncoding.AppendEncode(written, key), '\n')
	}
	again, err := parseKeys(written)
	if err != nil || lines != len(keys) || !slices.EqualFunc(again, keys, bytes.Equal) {
		t.Fatalf("%d keys of %d lines, and when they are written again %d: %v", len(keys), lines, len(again), err)
	}
}

func tellsNoSecret(t *testing.T, err error, text []byte) {
	t.Helper()
	if strings.TrimSpace(err.Error()) == "" {
		t.Fatal("refused without a word")
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); len(line) >= secretLine && line[0] != '#' && strings.Contains(err.Error(), line) {
			t.Fatalf("the error tells %q: %v", line, err)
		}
	}
}

// fuzzPair makes a certificate of a peer, its key and its CA, the same each time: an input that is kept is about these.
func fuzzPair(f *testing.F) (files [][]byte, now time.Time) {
	now = time.Unix(1_800_000_000, 0)
	role, err := url.Parse(PeerRole)
	if err != nil {
		f.Fatal(err)
	}
	key := func(seed byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "broker"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, URIs: []*url.URL{role},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	sign := func(c *x509.Certificate, k ed25519.PrivateKey) []byte {
		der, err := x509.CreateCertificate(nil, c, ca, k.Public(), key(1))
		if err != nil {
			f.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	der, err := x509.MarshalPKCS8PrivateKey(key(2))
	if err != nil {
		f.Fatal(err)
	}
	return [][]byte{sign(leaf, key(2)), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), sign(ca, key(1))}, now
}
