package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// good is a history that keeps every promise: two clients, one of whose appends has an unknown outcome and one a definite failure.
func good() History {
	h := History{
		Final: map[int32]Log{0: {
			Start: 0, HighWatermark: 4, Values: []string{"1:0:0", "2:0:0", "1:0:1", "2:0:1"},
			Batches: []Batch{{Base: 0, Count: 1, Term: 1}, {Base: 1, Count: 1, Term: 1}, {Base: 2, Count: 1, Term: 1}, {Base: 3, Count: 1, Term: 2}},
		}},
		Replicas: map[int32]map[int32]string{0: {1: "a", 2: "a", 3: "a"}},
		Ends:     []End{{Partition: 0, Invoke: 25, Offset: 2}},
		Starts:   []Start{{Partition: 0, Offset: 0}},
		Leaders:  []Leader{{0, 1, 1}, {0, 2, 3}, {0, 1, 1}},
		Topics: []TopicOp{
			{Name: "kept", Outcome: OK}, {Name: "gone", Outcome: OK}, {Name: "gone", Delete: true, Outcome: OK},
			{Name: "refused", Outcome: Fail}, {Name: "maybe", Outcome: Info},
		},
		FinalTopics: map[string]bool{"kept": true},
	}
	h.Appends = []Append{
		{Client: 1, Sequence: 0, Invoke: 0, Return: 10, Outcome: OK, Offset: 0},
		{Client: 2, Sequence: 0, Invoke: 5, Return: 20, Outcome: OK, Offset: 1},
		{Client: 1, Sequence: 1, Invoke: 30, Outcome: Info},
		{Client: 2, Sequence: 1, Invoke: 30, Return: 50, Outcome: OK, Offset: 3},
		{Client: 2, Sequence: 2, Invoke: 60, Return: 70, Outcome: Fail},
	}
	for i, v := range h.Final[0].Values {
		h.Reads = append(h.Reads, Read{Reader: 1, Offset: int64(i), Value: v})
	}
	h.Reads = append(h.Reads, Read{Reader: 2, From: 2, Offset: 2, Value: h.Final[0].Values[2]})
	return h
}

func TestAGoodHistoryHasNoViolation(t *testing.T) {
	got, facts := Count(good())
	if len(got) != 0 {
		t.Fatal(got)
	}
	if missing := facts.Missing("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15", "I16", "I18", "I20", "I22"); len(missing) > 0 {
		t.Errorf("nothing was compared for %v: %v", missing, facts)
	}
}

func TestAnEmptyHistoryHasNoFacts(t *testing.T) {
	if _, facts := Count(History{FinalTopics: map[string]bool{}}); len(facts.Missing("I1", "I4", "I14", "I18")) != 4 {
		t.Errorf("facts of nothing: %v", facts)
	}
}

// A client that gave up its first record of unknown fate went on as another producer, and the record turned up later.
func TestWhatWasGivenUpMayComeLater(t *testing.T) {
	h := good()
	h.Appends = []Append{
		{Client: 1, Sequence: 0, Invoke: 0, Outcome: Info},
		{Client: 2, Sequence: 0, Invoke: 5, Return: 20, Outcome: OK, Offset: 1},
		{Client: 1, Sequence: 1, Invoke: 1, Return: 9, Outcome: OK, Offset: 0, Producer: 1},
		{Client: 2, Sequence: 1, Invoke: 30, Return: 50, Outcome: OK, Offset: 3},
	}
	final(&h, func(l *Log) { l.Values = []string{"1:0:1", "2:0:0", "1:0:0", "2:0:1"} })
	h.Reads = nil
	if got := Verify(h); len(got) != 0 {
		t.Fatal(got)
	}
	h.Appends[2].Producer = 0
	if got := Verify(h); len(got) != 1 || got[0].Invariant != "I7" {
		t.Fatalf("as one producer: %v", got)
	}
}

func TestAnEndWithinABatchIsFound(t *testing.T) {
	h := History{
		Appends: []Append{{Client: 1, Return: 10, Outcome: OK}, {Client: 1, Sequence: 1, Return: 10, Outcome: OK, Offset: 1}},
		Ends:    []End{{Invoke: 1, Offset: 2}, {Invoke: 1, Offset: 0}},
		Final:   map[int32]Log{0: {HighWatermark: 2, Values: []string{"1:0:0", "1:0:1"}, Batches: []Batch{{0, 2, 1}}}},
	}
	if got := Verify(h); len(got) != 0 {
		t.Fatal(got)
	}
	h.Ends[1].Offset = 1
	if got := Verify(h); len(got) != 1 || got[0].Invariant != "I13" {
		t.Fatal(got)
	}
}

// final changes the final log of partition 0.
func final(h *History, f func(l *Log)) {
	h.Final = maps.Clone(h.Final)
	l := h.Final[0]
	l.Values, l.Batches = slices.Clone(l.Values), slices.Clone(l.Batches)
	f(&l)
	h.Final[0] = l
}

func TestEachBrokenPromiseIsFound(t *testing.T) {
	for _, c := range []struct {
		invariant string
		spoil     func(h *History)
	}{
		{"I1", func(h *History) {
			final(h, func(l *Log) { l.Values, l.HighWatermark = l.Values[:3], 3 })
			h.Reads = h.Reads[:3]
		}},
		{"I2", func(h *History) { final(h, func(l *Log) { l.HighWatermark = 9 }) }},
		{"I3", func(h *History) { final(h, func(l *Log) { l.Values, l.HighWatermark = append(l.Values, "2:0:2"), 5 }) }},
		{"I4", func(h *History) { final(h, func(l *Log) { l.Values, l.HighWatermark = append(l.Values, "7:0:0"), 5 }) }},
		{"I5", func(h *History) { h.Reads[1].Value = "1:0:0" }},
		{"I6", func(h *History) { final(h, func(l *Log) { l.Values, l.HighWatermark = append(l.Values, "1:0:1"), 5 }) }},
		{"I7", func(h *History) {
			final(h, func(l *Log) { l.Values[0], l.Values[2] = l.Values[2], l.Values[0] })
			h.Appends[0].Offset = 2
		}},
		{"I8", func(h *History) { h.Appends[0].Invoke = 21 }},
		{"I9", func(h *History) { h.Reads = append(h.Reads[:1], h.Reads[2:]...) }},
		{"I9", func(h *History) { h.Reads = h.Reads[1:] }}, // what it asked for first
		{"I9", func(h *History) {
			h.Reads = append(h.Reads, Read{Reader: 3, From: 1, Offset: 2, Value: h.Reads[2].Value})
		}},
		{"I10", func(h *History) { h.Reads = append(h.Reads, h.Reads[0]) }},
		{"I11", func(h *History) { h.Ends[0].Offset = 1 }},
		{"I12", func(h *History) { h.Reads = append(h.Reads, Read{Reader: 1, Offset: 4, Value: "1:0:1"}) }},
		{"I13", func(h *History) { // a batch that misses a record
			final(h, func(l *Log) { l.Batches = []Batch{{0, 1, 1}, {1, 1, 1}, {3, 1, 2}} })
		}},
		{"I13", func(h *History) { // a batch of two clients
			h.Ends = nil
			final(h, func(l *Log) { l.Batches = []Batch{{0, 2, 1}, {2, 1, 1}, {3, 1, 2}} })
		}},
		{"I14", func(h *History) { h.Replicas[0][3] = "b" }},
		{"I15", func(h *History) { h.Leaders[2].Broker = 2 }},
		{"I16", func(h *History) { final(h, func(l *Log) { l.Batches[0].Term = 2 }) }},
		{"I16", func(h *History) { h.Appends[1].Invoke = 51 }}, // of term 1, and what is of term 2 returned at 50
		{"I18", func(h *History) { delete(h.FinalTopics, "kept") }},
		{"I18", func(h *History) { h.FinalTopics["gone"] = true }},
		{"I20", func(h *History) { h.Starts[0].Offset = 1 }},
		{"I20", func(h *History) { final(h, func(l *Log) { l.Start, l.Values = 2, l.Values[2:] }) }}, // nothing may go
		{"I22", func(h *History) { final(h, func(l *Log) { l.Values, l.HighWatermark = append(l.Values, "2:0:2"), 5 }) }},
		{"I22", func(h *History) { h.FinalTopics["refused"] = true }},
	} {
		h := good()
		c.spoil(&h)
		got := Verify(h)
		if !slices.ContainsFunc(got, func(v Violation) bool { return v.Invariant == c.invariant }) {
			t.Errorf("%s is not found; found %v", c.invariant, got)
		}
	}
}

func TestALongHistoryIsCheckedQuickly(t *testing.T) {
	var h History
	var values []string
	const n = 200_000
	for i := range int64(n) {
		a := Append{Client: int(i % 8), Sequence: i / 8, Invoke: time.Duration(10 * i), Return: time.Duration(10*i + 75), Outcome: OK, Offset: i}
		h.Appends = append(h.Appends, a)
		values = append(values, a.Value())
	}
	h.Final = map[int32]Log{0: {HighWatermark: n, Values: values}}
	if got := Verify(h); len(got) != 0 {
		t.Fatal(got)
	}
	h.Appends[n/2].Offset, h.Appends[n/2+8].Offset = h.Appends[n/2+8].Offset, h.Appends[n/2].Offset
	got := fmt.Sprint(Verify(h))
	for _, want := range []string{"I5", "I7", "I8"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not found in %s", want, got)
		}
	}
}
