package check

import "testing"

// trimmed is a good history of a partition whose first half retention has taken: of 100 bytes with each batch 50 are left.
func trimmed() History {
	h := good()
	final(&h, func(l *Log) { l.Start, l.Values, l.Batches, l.Bytes = 2, l.Values[2:], l.Batches[2:], 30 })
	h.Keep = map[int32]Keep{0: {Bytes: 50, PerBatch: 10}}
	h.Starts = []Start{{Offset: 0}, {Offset: 2}}
	h.Reads = nil
	return h
}

// wantOnly fails unless one invariant is broken, once.
func wantOnly(t *testing.T, h History, invariant string) {
	t.Helper()
	if got := Verify(h); len(got) != 1 || got[0].Invariant != invariant {
		t.Errorf("found %v, want one violation of %s", got, invariant)
	}
}

func TestWhatRetentionTookIsNotLost(t *testing.T) {
	got, facts := Count(trimmed())
	if len(got) != 0 {
		t.Fatal(got)
	}
	for i, want := range map[string]int{"I1": 1, "I5": 1, "I20": 2, Trimmed: 1} { // of three acknowledged records one is there
		if facts[i] != want {
			t.Errorf("%d facts of %s, want %d", facts[i], i, want)
		}
	}
}

func TestRetentionTakesNoMoreThanItMay(t *testing.T) {
	h := trimmed()
	h.Keep[0] = Keep{Bytes: 51, PerBatch: 10}
	wantOnly(t, h, "I20")
	h.Keep = map[int32]Keep{1: {}} // of another partition
	wantOnly(t, h, "I20")
}

func TestAllBelowTheLogStartIsNoFact(t *testing.T) {
	h := trimmed()
	final(&h, func(l *Log) { l.Start, l.Values, l.Batches = 4, nil, nil })
	h.Keep[0] = Keep{}
	h.Starts = nil
	h.Reads = []Read{{Reader: 1, Offset: 2, Value: "1:0:1"}}
	h.Ends = nil
	_, facts := Count(h)
	if missing := facts.Missing("I1", "I5", "I12", "I20", Trimmed); len(missing) != 5 {
		t.Errorf("compared although nothing is left: %v", facts)
	}
}

func TestAStartOfZeroIsNoFact(t *testing.T) {
	h := trimmed()
	final(&h, func(l *Log) { l.Start, l.Values, l.Batches = 0, good().Final[0].Values, good().Final[0].Batches })
	h.Starts = []Start{{Offset: 0}}
	if _, facts := Count(h); facts["I20"]+facts[Trimmed] != 0 {
		t.Errorf("retention did nothing: %v", facts)
	}
}

func TestBelowTheLogStartClientsAgree(t *testing.T) {
	h := trimmed()
	h.Reads = []Read{{Reader: 1, Offset: 0, Value: "1:0:0"}, {Reader: 1, Offset: 1, Value: "2:0:0"}}
	if got, facts := Count(h); len(got) != 0 || facts["I5"] != 3 {
		t.Fatalf("%v, %d facts", got, facts["I5"])
	}
	h.Reads[1].Value = "2:0:1"
	wantOnly(t, h, "I5")
}

func TestAReaderGoesOnOnlyAtALogStartThatWasAnswered(t *testing.T) {
	h := trimmed()
	h.Reads = []Read{{Reader: 1, Offset: 0, Value: "1:0:0"}, {Reader: 1, Offset: 2, Value: "1:0:1"}, {Reader: 1, Offset: 3, Value: "2:0:1"}}
	if got := Verify(h); len(got) != 0 {
		t.Fatal(got)
	}
	h.Starts = h.Starts[:1]
	wantOnly(t, h, "I9")
	// At a start that another partition was said to have.
	h.Starts = []Start{{Partition: 1, Offset: 2}}
	wantOnly(t, h, "I9")
	// Below the final start, where no log was said to start.
	h = trimmed()
	final(&h, func(l *Log) { l.Start, l.Values, l.Batches, l.Bytes = 3, l.Values[1:], l.Batches[1:], 40 })
	h.Starts = []Start{{Offset: 3}}
	h.Ends = nil
	h.Reads = []Read{{Reader: 1, Offset: 0, Value: "1:0:0"}, {Reader: 1, Offset: 2, Value: "1:0:1"}, {Reader: 1, Offset: 3, Value: "2:0:1"}}
	wantOnly(t, h, "I9")
}
