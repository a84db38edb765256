package raftlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// Entries above what is applied may be truncated. They are in no shipment, and a truncation changes nothing of one.
func TestRule19TruncationIsNeverSeen(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	ents := fillSegments(t, l, 40)
	at := l.Segments()[2].LastIndex + 2
	applyTo(t, l, ents, at)
	cp := checkpointAt(ents, at)
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	must(t, transferFile(sh, in, 0))
	appendAll(t, l, Write{Term: 7, Entries: batches(t, at+1, 7, cp.Next, 10, 4096)})
	must(t, transferRest(sh, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 1)
}

func TestRule19DamageInTransitIsDetectedAndRepaired(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	m := sh.Manifest()
	var d *DamagedError
	for i := range m.Files {
		p := make([]byte, m.Files[i].Bytes)
		n, err := sh.ReadFile(i, 0, p)
		must(t, err)
		p[n/2] ^= 0x10
		must(t, in.WriteFile(i, 0, p))
		sum, err := sh.Sum(context.Background(), i)
		must(t, err)
		if err := in.FinishFile(i, sum); !errors.As(err, &d) || !d.Transit {
			t.Fatalf("a flipped bit in file %d: %v", i, err)
		}
		if have, done := in.Have(i); have != 0 || done {
			t.Fatal("the damaged file is kept")
		}
		if _, err := os.Stat(in.path(in.files[i])); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("the damaged file is still there: %v", err)
		}
	}
	for i := range m.Files {
		must(t, transferFile(sh, in, i))
	}
	p, _, err := sh.Tail(m.TailFirst, 1<<20, nil)
	must(t, err)
	for _, bad := range []func(p []byte) []byte{
		func(p []byte) []byte { p[100] ^= 1; return p },
		func(p []byte) []byte { p[17] ^= 1; return p },
		func(p []byte) []byte { return p[:len(p)-1] },
		func(p []byte) []byte { return p[:40] },
	} {
		if err := in.WriteTail(bad(append([]byte(nil), p...))); !errors.As(err, &d) || !d.Transit {
			t.Fatalf("a damaged tail: %v", err)
		}
	}
	if err := in.Finish(); err == nil {
		t.Fatal("finished without a tail")
	}
	must(t, in.WriteTail(p))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}

// flip changes one byte of the first occurrence of what in a file.
func flip(t *testing.T, path, what string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	must(t, err)
	i := strings.Index(string(raw), what)
	if i < 0 {
		t.Fatalf("%s does not hold what is to be damaged", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{raw[i] ^ 1}, int64(i))
	must(t, errors.Join(err, f.Close()))
}

// Damage at the source has the right hash. The source finds it when it hashes, and is quarantined; if it does not, the
// receiver finds it.
func TestRule19DamagedSourceIsNotPropagated(t *testing.T) {
	for _, sourceLooks := range []bool{true, false} {
		s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
		l, ents, cp := shippedLog(t, s, 40)
		path := l.segs[1].file.path
		sh := ship(t, l, cp)
		if !sourceLooks { // it remembers hashes from before: as if it had been damaged since
			f, err := os.Open(path)
			must(t, err)
			flip(t, path, string(ents[10].Data[200:300]))
			raw, err := os.ReadFile(path)
			must(t, err)
			sum := sha256.Sum256(raw[:sh.m.Files[1].Bytes])
			l.segs[1].sum = &sum
			must(t, f.Close())
		} else {
			flip(t, path, string(ents[10].Data[200:300]))
		}
		in := install(t, to)
		err := transfer(sh, in)
		if sourceLooks {
			var p *PoisonedError
			if !errors.As(err, &p) {
				t.Fatalf("the source ships its damage: %v", err)
			}
			if rs := s.Replicas(); rs[0].Quarantine == "" {
				t.Fatal("the source is not quarantined")
			}
			continue
		}
		var d *DamagedError
		if !errors.As(err, &d) || d.Transit {
			t.Fatalf("the damage was installed: %v", err)
		}
		must(t, in.Abort())
	}
}

func TestRule19SpaceIsCheckedFirst(t *testing.T) {
	free := int64(1 << 30)
	s := openStore(t, t.TempDir())
	to := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Free = func(string) (int64, error) { return free, nil }
		o.ReserveBytes = 100 << 20
	})
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	in := install(t, to)
	free = 100<<20 + sh.Manifest().Bytes()
	if err := in.Begin(sh.Manifest()); !errors.Is(err, syscall.ENOSPC) || Lasting(err) {
		t.Fatalf("began with too little space: %v", err)
	}
	free = 1 << 30
	must(t, transfer(sh, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}
