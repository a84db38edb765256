package certs_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/rpc/certs"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// Such contents are as good as any: only time tells.
func TestAHalfWrittenFileThatIsGoodIsNotTaken(t *testing.T) {
	f := newFixture(t)
	first, second := f.ca("first"), f.ca("second")
	s, err := certs.OpenPeer(once, f.files(f.sign(second, dev.PeerLeaf(nil)), second), f.o)
	if err != nil {
		t.Fatal(err)
	}
	f.files(f.sign(first, dev.PeerLeaf(nil)), first) // of two CAs
	s.Look()
	if _, se, ce := shake(t, s.Server(), s.Client()); se != nil || ce != nil || f.reloads("peer", "ok") != 0 {
		t.Errorf("half a file of CAs was taken: %v, %v", se, ce)
	}
	f.files(f.sign(first, dev.PeerLeaf(nil)), first, second)
	s.Look()
	if n := f.reloads("peer", "ok"); n != 0 {
		t.Errorf("%v reloads after one look at the whole", n)
	}
	s.Look()
	if n := f.reloads("peer", "ok"); n != 1 {
		t.Errorf("%v reloads after two looks at the whole", n)
	}

	f.write("k", []byte(line(1, 32)))
	var applied [][]byte
	k, err := certs.OpenKeys(once, filepath.Join(f.dir, "k"), func(keys [][]byte) error { applied = keys; return nil }, f.o)
	if err != nil {
		t.Fatal(err)
	}
	f.write("k", []byte(line(2, 32)[:32])) // a key of 24 bytes
	k.Look()
	f.write("k", []byte(line(2, 32)))
	k.Look()
	if applied != nil {
		t.Errorf("half a key was taken: %d bytes", len(applied[0]))
	}
	k.Look()
	if len(applied) != 1 || len(applied[0]) != 32 {
		t.Errorf("applied %v", applied)
	}
}

func TestAFileOfCAsIsTakenAsAWhole(t *testing.T) {
	f := newFixture(t)
	ca, other := f.ca("peers"), f.ca("others")
	files := f.files(f.sign(ca, dev.PeerLeaf(nil)), ca)
	s, err := certs.OpenPeer(once, files, f.o)
	if err != nil {
		t.Fatal(err)
	}
	end := []byte("-----END")
	spoilt := bytes.Clone(other.CertPEM)
	spoilt[len("-----BEGIN CERTIFICATE-----\n")] = 'A' // base64 still, and no certificate
	failed := 0.0
	for name, second := range map[string][]byte{
		"cut":       other.CertPEM[:bytes.Index(other.CertPEM, end)-10],
		"no base64": bytes.Replace(other.CertPEM, []byte("\nM"), []byte("\n!"), 1),
		"spoilt":    spoilt,
	} {
		for at, text := range map[string][]byte{"at the end": append(bytes.Clone(ca.CertPEM), second...), "at the start": append(append(bytes.Clone(second), '\n'), ca.CertPEM...)} {
			f.write("a.ca", text)
			s.Look()
			s.Look()
			if failed++; f.reloads("peer", "failed") != failed || f.reloads("peer", "ok") != 0 {
				t.Errorf("%s %s: it was taken", name, at)
			}
			if _, err := certs.OpenPeer(once, files, f.o); err == nil || !strings.Contains(err.Error(), "a.ca holds") {
				t.Errorf("%s %s: at a start %v", name, at, err)
			}
		}
	}
	f.write("a.ca", append([]byte("# the one\n"), append(ca.CertPEM, other.CertPEM...)...))
	s.Look()
	s.Look()
	if f.reloads("peer", "ok") != 1 {
		t.Error("good CAs with a comment were not taken")
	}
}
