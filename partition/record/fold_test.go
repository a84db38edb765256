package record

import (
	"math"
	"testing"
)

func entry(t testing.TB, base int64, epoch int32, n int) []byte {
	t.Helper()
	b, err := Encode(make([]byte, EnvelopeLen), someRecords(n), EncodeOptions{ProducerID: 9, ProducerEpoch: 2, BaseSequence: 4})
	if err != nil {
		t.Fatal(err)
	}
	PutEnvelope(b, KindBatch, 1234)
	Stamp(b[EnvelopeLen:], base, epoch)
	return b
}

func TestFoldReadsAnEntry(t *testing.T) {
	data := entry(t, 100, 7, 5)
	want := Meta{Index: 11, Term: 7, Kind: KindBatch, AppendMS: 1234, Base: 100, Next: 105, MaxTimestamp: 1_700_000_000_025,
		ProducerID: 9, ProducerEpoch: 2, BaseSequence: 4, Count: 5, Size: len(data) - EnvelopeLen}
	if got := Fold(11, 7, false, data, 100); got != want {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	if got := Fold(11, 7, false, data[:EnvelopeLen+HeaderLen], 100); got != want {
		t.Fatalf("the header alone gives %+v", got)
	}
}

// Every replica folds the same log, so every replica must skip the same entries, and skip them for good: the next good
// entry still continues at the offset before.
func TestRule12EntriesOfAnotherEpochOrOffsetAreVoid(t *testing.T) {
	good := entry(t, 100, 7, 5)
	broken := entry(t, 100, 7, 5)
	broken[EnvelopeLen+posLastDelta+3]++
	noMagic := entry(t, 100, 7, 5)
	noMagic[EnvelopeLen+posMagic] = 0
	future := entry(t, 100, 7, 5)
	future[0] = 2
	kind := entry(t, 100, 7, 5)
	kind[1] = 77
	for name, c := range map[string]struct {
		term uint64
		next int64
		data []byte
	}{
		"older epoch":        {8, 100, good},
		"newer epoch":        {6, 100, good},
		"gap":                {7, 99, good},
		"overlap":            {7, 101, good},
		"wrong delta":        {7, 100, broken},
		"no batch":           {7, 100, noMagic},
		"unknown version":    {7, 100, future},
		"unknown kind":       {7, 100, kind},
		"short envelope":     {7, 100, good[:5]},
		"short header":       {7, 100, good[:EnvelopeLen+20]},
		"term above 2^31-1":  {7 + 1<<32, 100, good},
		"negative epoch":     {math.MaxUint32, 100, entry(t, 100, -1, 5)},
		"offsets past 2^63":  {7, math.MaxInt64 - 2, entry(t, math.MaxInt64-2, 7, 5)},
		"term 0 of a client": {0, 100, good},
	} {
		m := Fold(11, c.term, false, c.data, c.next)
		if !m.Void || m.Base != c.next || m.Next != c.next {
			t.Errorf("%s: %+v", name, m)
		}
		if m := Fold(12, 7, false, good, 100); m.Void || m.Next != 105 {
			t.Errorf("the good entry after %s: %+v", name, m)
		}
	}
}

func TestFoldOfEntriesWithoutRecords(t *testing.T) {
	cmd := make([]byte, EnvelopeLen, 20)
	PutEnvelope(cmd, KindCommand, 55)
	cmd = append(cmd, "hello"...)
	m := Fold(3, 2, false, cmd, 10)
	if m.Void || m.Kind != KindCommand || m.AppendMS != 55 || m.Base != 10 || m.Next != 10 || m.Size != 5 || m.ProducerID != -1 {
		t.Fatalf("command: %+v", m)
	}
	if m := Fold(3, 2, false, nil, 10); m.Void || m.Kind != KindNone || m.Next != 10 {
		t.Fatalf("empty: %+v", m)
	}
	if m := Fold(3, 2, true, []byte("conf change"), 10); m.Void || !m.Conf || m.Kind != KindNone || m.Next != 10 {
		t.Fatalf("conf: %+v", m)
	}
}
