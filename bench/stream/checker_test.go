package stream

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnel-io/runnel/bench/source"
	"github.com/runnel-io/runnel/rpc/client"
)

// sent is a run of two partitions: a file and probes on the first, probes on the second.
func sent(t *testing.T) (files []*source.File, records []*client.Record, probes []uint32) {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a"), []byte("one\ntwo\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	files, err := source.List(root)
	if err != nil {
		t.Fatal(err)
	}
	var offsets [2]int64
	add := func(p int32, key, value []byte) {
		records = append(records, &client.Record{Partition: p, Key: key, Value: value, Offset: offsets[p]})
		offsets[p]++
	}
	add(0, nil, encodeProbe(0, 0))
	if err := source.Records(root, 0, files[0], func(k, v []byte) { add(0, k, v) }); err != nil {
		t.Fatal(err)
	}
	for seq := range uint32(3) {
		add(1, nil, encodeProbe(1, seq))
	}
	return files, records, []uint32{1, 3}
}

// check has a reader get records, numbered anew as a log that lacks some, or has some twice, would.
func check(t *testing.T, files []*source.File, records []*client.Record, probes []uint32) Verdict {
	t.Helper()
	c := newChecker(2)
	var offsets [2]int64
	for _, r := range records {
		r.Offset = offsets[r.Partition]
		offsets[r.Partition]++
		if err := c.add(r); err != nil {
			t.Fatal(err)
		}
	}
	return c.finish(files, 1, probes)
}

func TestWhatComesOnceAsItWasIsRight(t *testing.T) {
	files, records, probes := sent(t)
	if v := check(t, files, records, probes); v.Err() != nil || v.Records != int64(len(records)) {
		t.Fatalf("%+v: %v", v, v.Err())
	}
}

func TestEachMissingOrRepeatedRecordIsCounted(t *testing.T) {
	for i := range 7 {
		files, records, probes := sent(t)
		without := append(append([]*client.Record{}, records[:i]...), records[i+1:]...)
		if v := check(t, files, without, probes); v.Lost != 1 || v.Err() == nil {
			t.Errorf("without record %d: %+v", i, v)
		}
		files, records, probes = sent(t)
		again := *records[i]
		twice := append(append([]*client.Record{}, records[:i+1]...), append([]*client.Record{&again}, records[i+1:]...)...)
		if v := check(t, files, twice, probes); v.Duplicated != 1 || v.Err() == nil {
			t.Errorf("record %d twice: %+v", i, v)
		}
	}
}

func TestASkippedOffsetIsAnError(t *testing.T) {
	_, records, _ := sent(t)
	c := newChecker(2)
	if err := c.add(records[0]); err != nil {
		t.Fatal(err)
	}
	if c.add(records[2]) == nil {
		t.Error("offset 2 came after 0 and nobody minded")
	}
}

func TestWaitsCountWhatIsInFlight(t *testing.T) {
	w := waits{open: map[int32]time.Time{}}
	at := time.Unix(0, 0)
	for i := range 100 {
		w.sent(3, at)
		w.acked(3, at.Add(time.Duration(i+1)*time.Millisecond))
	}
	w.sent(5, at.Add(time.Millisecond))
	got := w.take(at.Add(time.Second))
	want := Waits{
		Probes: 100, P50: 51 * time.Millisecond, P99: 100 * time.Millisecond, P999: 100 * time.Millisecond,
		Longest: 999 * time.Millisecond, Partition: 5, Sent: at.Add(time.Millisecond),
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	w.acked(5, at.Add(2*time.Second))
	if got = w.take(at.Add(3 * time.Second)); got.Longest != 1999*time.Millisecond || got.Probes != 1 || !got.Sent.Equal(at.Add(time.Millisecond)) {
		t.Errorf("afterwards %+v", got)
	}
	if got = w.take(at); got != (Waits{}) {
		t.Errorf("of nothing: %+v", got)
	}
}
