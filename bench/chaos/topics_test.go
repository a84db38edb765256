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
