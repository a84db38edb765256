package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/workload"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
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

const (
	// largestEntry is more than one record takes in a log.
	largestEntry = 8 << 10
	// trimsWithin bounds what retention may take at rest. A leader looks each five seconds, and decides nothing at its first look.
	trimsWithin = 30 * time.Second
)

// acked is a record that was acknowledged, by the least that it takes in the log.
type acked struct{ offset, bytes int64 }

// overdue tells how much of a partition must be beyond what retention leaves: what was acknowledged from its start on, less the most that may stay.
func overdue(records []acked, start int64) int64 {
	sum := int64(0)
	for _, a := range records {
		if a.offset >= start {
			sum += a.bytes
		}
	}
	return sum - retained - segment - largestEntry
}

// takesWhatIsDue waits until retention has taken what it must of each partition. While leaders come and go it has hardly a chance to, and what it
// leaves is told best just after.
func (r *run) takesWhatIsDue(ctx context.Context) {
	records := map[int32][]acked{}
	named := keeps(r.topics)
	for _, a := range r.rec.History().Appends {
		if _, may := named[a.Partition]; may && a.Outcome == check.OK {
			records[a.Partition] = append(records[a.Partition], acked{a.Offset, int64(len(workload.Payload(a.Value())))})
		}
	}
	if err := until(ctx, trimsWithin, func(ctx context.Context) string {
		for slot, of := range records {
			s := r.slots[slot]
			d, err := r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: s.Topic})
			if err != nil {
				return err.Error()
			}
			start := d.GetPartitions()[s.Partition].GetLogStartOffset()
			if over := overdue(of, start); over > 0 {
				return fmt.Sprintf("%s/%d starts at %d, %d bytes too early", s.Topic, s.Partition, start, over)
			}
		}
		return ""
	}); err != nil && ctx.Err() == nil {
		r.violate("I20", "retention does not take what is due, %s after everything was at rest: %v", trimsWithin, err)
	}
}
