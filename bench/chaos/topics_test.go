package main

import (
	"testing"

	"github.com/runnel-io/runnel/bench/workload"
)

// Who is not named must keep everything, so only the topic with retention may be.
func TestOnlyTheTopicWithRetentionMayLoseAnything(t *testing.T) {
	topics := newTopics(3)
	named := keeps(topics)
	for i, s := range workload.Slots(topics) {
		keep, may := named[int32(i)]
		if may != (s.Topic == "trimmed-3") {
			t.Errorf("%s/%d may lose something: %v", s.Topic, s.Partition, may)
		}
		if may && (keep.Bytes <= retained-segment || keep.Bytes > retained) {
			t.Errorf("%s/%d must keep %d bytes: a segment that goes too early would not be seen, or one that may go would", s.Topic, s.Partition, keep.Bytes)
		}
	}
	if len(named) != 4 {
		t.Errorf("%d partitions may lose something", len(named))
	}
}

// The bytes of payloads are fewer than what a log counts, so what is overdue by them is overdue.
func TestWhatIsOverdueIsWhatNoRetentionLeaves(t *testing.T) {
	var records []acked
	for i := range int64(1000) {
		records = append(records, acked{i, 1000})
	}
	most := int64(retained + segment + largestEntry)
	for _, c := range []struct{ start, want int64 }{{0, 1000*1000 - most}, {1, 999*1000 - most}, {1000, -most}} {
		if got := overdue(records, c.start); got != c.want {
			t.Errorf("from %d on %d bytes are overdue, want %d", c.start, got, c.want)
		}
	}
}
