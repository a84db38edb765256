package catchup

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/partition/env/allocs"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// Methods of FuzzServe.
var served = []string{methodManifest, methodRead, methodSum, methodCheck, methodTail, methodClose, "ship.other"}

// FuzzServe asks a source for whatever: the answer is an error or of bounded size, and the log that is shipped is as good as before.
func FuzzServe(f *testing.F) {
	clock := newClock()
	src := newSourceOf(f, clock, replica, 20, 32<<10)
	server := src.server(clock, nil)
	f.Add(byte(1), []byte(nil), 0, int64(0), 100, uint64(0))
	f.Add(byte(1), []byte(nil), checkpointFile, int64(1<<20), 1<<30, uint64(0))
	f.Add(byte(2), []byte(nil), 1, int64(0), 0, uint64(0))
	f.Add(byte(3), []byte(nil), 0, int64(0), 0, uint64(0))
	f.Add(byte(4), []byte(nil), 0, int64(0), 1<<20, uint64(15))
	f.Add(byte(4), []byte(nil), 0, int64(0), -1, uint64(1)<<63)
	f.Add(byte(0), []byte(`{"Group":8}`), 0, int64(0), 0, uint64(0))
	f.Add(byte(5), []byte(`{"Shipment":1,"Installed":true}`), 0, int64(0), 0, uint64(0))
	f.Fuzz(func(t *testing.T, which byte, body []byte, file int, offset int64, size int, from uint64) {
		src.t = t
		method := served[int(which)%len(served)]
		open, err := server.Serve(t.Context(), 9, methodManifest, []byte(`{"Group":7}`))
		if err != nil {
			t.Fatalf("after what came before: %v", err)
		}
		var a manifestAnswer
		must(t, json.Unmarshal(open, &a))
		defer func() { must(t, server.close(closeRequest{Shipment: a.Shipment}, 9)) }()
		if len(body) == 0 { // a request as it should be, about something that may not be there
			var r any = readRequest{Shipment: a.Shipment, File: file, Offset: offset, Max: size}
			if method == methodTail {
				r = tailRequest{Shipment: a.Shipment, From: from, Max: size}
			}
			if body, err = encode(r); err != nil {
				t.Fatal(err)
			}
		}
		var out []byte
		allocs.Most(t, 32<<20, func() { out, err = server.Serve(t.Context(), 9, method, body) })
		if err != nil && len(out) > 0 || len(out) > maxTail+(64<<10) {
			t.Fatalf("%d bytes, error %v", len(out), err)
		}
		if method == methodManifest && err == nil { // one more that is open
			must(t, json.Unmarshal(out, &a))
			must(t, server.close(closeRequest{Shipment: a.Shipment}, 9))
			must(t, json.Unmarshal(open, &a))
		}
	})
}

// liar answers each call with the next piece of what it was given, whatever was asked.
type liar struct {
	manifest []byte
	rest     []byte
	calls    int
}

func (l *liar) Call(_ context.Context, _ int32, method string, body []byte) ([]byte, error) {
	if l.calls++; l.calls > 1000 {
		return nil, errCut
	}
	switch method {
	case methodManifest:
		return l.manifest, nil
	case methodClose:
		return nil, nil
	}
	var r readRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, err
	}
	n := len(l.rest)
	if r.Max > 0 && method != methodTail {
		n = min(n, r.Max)
	}
	out := l.rest[:n]
	l.rest = l.rest[n:]
	return out, nil
}

// FuzzAnswers has a source say whatever: nothing is installed of it, the error says so, and memory is bounded.
func FuzzAnswers(f *testing.F) {
	clock := newClock()
	src := newSource(f, clock, replica, 5)
	server := src.server(clock, nil)
	open, err := server.Serve(f.Context(), 9, methodManifest, []byte(`{"Group":7}`))
	must(f, err)
	var a manifestAnswer
	must(f, json.Unmarshal(open, &a))
	cp, err := server.Serve(f.Context(), 9, methodRead, must2(f)(encode(readRequest{Shipment: a.Shipment, File: checkpointFile, Max: 1000})))
	must(f, err)
	f.Add(open, cp)
	a.Manifest.CheckpointBytes = int64(len(cp))
	f.Add(must2(f)(encode(a)), append(cp, 1, 2, 3))
	a.Manifest.CheckpointBytes = 1 << 50
	f.Add(must2(f)(encode(a)), cp)
	f.Add([]byte(`{"Shipment":1,"Manifest":{"Group":7,"Replica":3,"Term":1,"Index":1,"IndexTerm":1,"TailFirst":2,"TailBytes":-5}}`), cp)
	f.Add([]byte(`{}`), []byte(nil))
	store := newStore(f, clock)
	client := &ClientConfig{Env: testEnv(clock)}
	f.Fuzz(func(t *testing.T, manifest, rest []byte) {
		in := newInstaller(t, store)
		defer func() { must(t, in.Abort()) }()
		cfg := *client
		cfg.Caller = &liar{manifest: manifest, rest: rest}
		allocs.Most(t, 64<<20+64*uint64(len(manifest)+len(rest)), func() {
			if _, err := NewClient(cfg).Run(t.Context(), in, 1, group, nil); err == nil {
				t.Fatal("a replica was installed of lies")
			}
		})
		for _, r := range store.Replicas() {
			t.Fatalf("replica %d is there", r.Replica)
		}
	})
}

// must2 gives the bytes of a call that must not fail.
func must2(t testing.TB) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		must(t, err)
		return b
	}
}

func TestACheckpointThatNeverEndsIsNotReceived(t *testing.T) {
	for _, bytes := range []int64{1 << 50, 10} {
		m := raftlog.Manifest{Group: group, Replica: replica, CheckpointBytes: bytes}
		l := &liar{manifest: must2(t)(encode(manifestAnswer{Shipment: 1, Manifest: m})), rest: make([]byte, 1<<20)}
		store := newStore(t, newClock())
		in := newInstaller(t, store)
		c := NewClient(ClientConfig{Env: testEnv(newClock()), Caller: l})
		_, err := c.Run(t.Context(), in, 1, group, nil)
		if err == nil || errors.Is(err, errCut) {
			t.Fatalf("a checkpoint of %d bytes: %v", bytes, err)
		}
		if bytes == 10 && !strings.Contains(err.Error(), "longer") {
			t.Errorf("a checkpoint that is longer than said: %v", err)
		}
		if bytes > 1000 && l.calls > 2 {
			t.Errorf("%d calls were made for a checkpoint of %d bytes", l.calls, bytes)
		}
		must(t, in.Abort())
	}
}
