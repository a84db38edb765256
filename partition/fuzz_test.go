package partition

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/runnel-io/runnel/partition/env/allocs"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// FuzzFolded reads the state of a checkpoint, folds a command into it, and reads topic settings, all from the same bytes. What is
// accepted is what would be written.
func FuzzFolded(f *testing.F) {
	full := folded{next: 100, logStart: 3, lastMS: 7, producers: producers{
		5: {epoch: 1, lastMS: 6, n: 1, window: [seqWindow]seqBatch{{seq: 0, count: 10, base: 0}}},
		9: {epoch: 0, lastMS: 7, n: 2, window: [seqWindow]seqBatch{{seq: 0, count: 10, base: 10}, {seq: 10, count: 80, base: 20}}},
	}}
	f.Add(full.encode(), command{kind: commandTrim, arg: 50}.entry(9))
	f.Add((&folded{producers: producers{}}).encode(), command{kind: commandExpire, arg: 6}.entry(9))
	f.Add([]byte{stateVersion, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}, []byte{1, 2})
	for _, s := range []string{`{"retention.ms":"-1","segment.bytes":"65536","message.count.check":"false"}`, `{"retention.md":"5"}`, `{"segment.bytes":"1e9","cleanup.policy":"compact"}`} {
		f.Add([]byte(s), []byte(nil))
	}
	f.Fuzz(func(t *testing.T, b, entry []byte) {
		readSettings(t, b)
		var state folded
		var err error
		allocs.Most(t, 8<<20+32*uint64(len(b)), func() { state, err = decodeFolded(100, 3, b) })
		if err != nil {
			return
		}
		if len(b) > 0 {
			again, err := decodeFolded(100, 3, state.encode())
			if err != nil || string(again.encode()) != string(state.encode()) || len(state.encode()) != len(b) {
				t.Fatalf("read %x, written as %x: %v", b, state.encode(), err)
			}
		}
		before := state.logStart
		m := record.Fold(5, 2, false, entry, state.next)
		_, _, payload, _ := record.OpenEnvelope(entry) // of what Fold says is readable
		state.apply(m, payload)
		if state.logStart < before || state.logStart > state.next {
			t.Fatalf("folded to log start %d of %d", state.logStart, state.next)
		}
	})
}

// readSettings: a mistake is a definite error with a text, and what is accepted is within what other parts count on.
func readSettings(t *testing.T, b []byte) {
	var config map[string]string
	if json.Unmarshal(b, &config) != nil {
		return
	}
	s, err := ParseSettings(config)
	if err != nil {
		var e *runnelv1.Error
		if !errors.As(err, &e) || e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_DEFINITE || e.GetMessage() == "" {
			t.Fatalf("refused with %T: %v", err, err)
		}
		return
	}
	for name, value := range config {
		if !slices.Contains(KnownSettings(), name) {
			t.Fatalf("%q=%q was taken", name, value)
		}
	}
	if s.batchBytes() < 1<<10 || s.batchBytes() > MaxBatchBytes || s.SegmentBytes < 64<<10 || s.RetentionMS < -1 || s.RetentionBytes < -1 ||
		s.SegmentMS < 1 || s.ProducerExpiryMS < minProducerExpiry.Milliseconds() {
		t.Fatalf("%s gave %+v", b, s)
	}
	// What is said of a number is what is meant by it.
	if v, ok := config["retention.bytes"]; ok && strconv.FormatInt(s.RetentionBytes, 10) != v {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n != s.RetentionBytes {
			t.Fatalf("retention.bytes %q gave %d", v, s.RetentionBytes)
		}
	}
}
