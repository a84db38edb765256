package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/workload"
	"github.com/runnel-io/runnel/partition/record"
)

const (
	// retained is retention.bytes of the topic that has any. A partition comes to it, with the segment that may stand above it, in about 50 s.
	retained = 512 << 10
	segment  = 128 << 10
	// trimmedWithin is the length of a run in which retention must have taken something.
	trimmedWithin = 3 * time.Minute
)

// newTopics are those of a round: as they come, with small segments, and with retention.
func newTopics(n int) []workload.Topic {
	name := func(what string) string { return fmt.Sprintf("%s-%d", what, n) }
	return []workload.Topic{
		{Name: name("plain"), Partitions: 8},
		{Name: name("small"), Partitions: 4, Config: map[string]string{"segment.bytes": strconv.Itoa(segment)}},
		{Name: name("trimmed"), Partitions: 4, Config: map[string]string{"segment.bytes": strconv.Itoa(segment), "retention.bytes": strconv.Itoa(retained)}},
	}
}

const (
	// entryHeader is what a log keeps beside each entry, and counts for retention.
	entryHeader = 96
	// otherEntries is more than the entries without records that can be among those retained: terms that begin, trims, changes of replicas.
	// Each takes about a hundred bytes.
	otherEntries = 64 << 10
)

// keeps tells what retention must leave, by slot. Records are kept for days by default, so a topic without retention.bytes loses none.
// With it a leader lets a segment go only if all behind it come to so many bytes, and they are there at rest: the decision stands behind them in the
// log.
func keeps(topics []workload.Topic) map[int32]check.Keep {
	out := map[int32]check.Keep{}
	for i, s := range workload.Slots(topics) {
		for _, t := range topics {
			if t.Name == s.Topic && t.Config["retention.bytes"] != "" {
				out[int32(i)] = check.Keep{Bytes: retained - otherEntries, PerBatch: entryHeader + record.EnvelopeLen}
			}
		}
	}
	return out
}
