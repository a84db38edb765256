package certs_test

import (
	"bytes"
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/rpc/certs"
)

func line(b byte, n int) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, n)) + "\n"
}

func TestKeysAreReadInTheirOrder(t *testing.T) {
	f := newFixture(t)
	f.write("k", []byte("# from the vault\n"+line(1, 32)+"\n  "+line(2, 16)))
	var applied [][]byte
	k, err := certs.OpenKeys(once, filepath.Join(f.dir, "k"), func(keys [][]byte) error { applied = keys; return nil }, f.o)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Opened(); len(got) != 2 || got[0][0] != 1 || len(got[1]) != 16 || applied != nil {
		t.Fatalf("opened %v, applied %v", got, applied)
	}
	f.write("k", []byte(line(2, 16)))
	k.Look()
	k.Look()
	if len(applied) != 1 || applied[0][0] != 2 || f.reloads("gossip", "ok") != 1 {
		t.Errorf("applied %v", applied)
	}
}

func TestBadKeysAreNamedWithoutTellingThem(t *testing.T) {
	f := newFixture(t)
	for _, x := range []struct{ name, text, want string }{
		{"none", "# nothing\n", "no key"},
		{"no base64", "c2VjcmV0c2VjcmV0!!\n", "line 1 is no base64"},
		{"short", line(1, 32) + line(2, 15), "line 2 is a key of 15 bytes"},
		{"twice", line(1, 32) + line(1, 32), "line 2 is the same key"},
		{"many", strings.Join([]string{
			line(1, 16), line(2, 16), line(3, 16), line(4, 16), line(5, 16), line(6, 16), line(7, 16), line(8, 16), line(9, 16),
			line(10, 16), line(11, 16), line(12, 16), line(13, 16), line(14, 16), line(15, 16), line(16, 16), line(17, 16)}, ""), "17 keys"},
	} {
		f.write("k", []byte(x.text))
		_, err := certs.OpenKeys(once, filepath.Join(f.dir, "k"), nil, f.o)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want %q", x.name, err, x.want)
			continue
		}
		for secret := range strings.Lines(x.text) {
			if secret = strings.TrimSpace(secret); !strings.HasPrefix(secret, "#") && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error tells a key: %v", x.name, err)
			}
		}
	}
}
