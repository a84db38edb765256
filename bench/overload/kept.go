package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// keeper reads a topic and compares it with what the loads were told. Retention trims the starts of the logs, so it sees the newest of each
// partition; in that it wants every number that was acknowledged, once, in order, and where the acknowledgement said.
type keeper struct {
	run     uint32  // the newest
	began   []int64 // end of each partition when that began
	senders map[[2]uint32]*sent
	excused map[[2]uint32]map[int64]bool // numbers that were not acknowledged: true, may be there; false, may not
	wanted  []map[int64]seen             // samples, by partition and offset
	from    []int64                      // of each partition: the first offset that was read, -1 before that
	next    []int64
	trails  map[trailKey]int64 // the next number

	records, samples, lost, twice, phantoms, moved int64
	first                                          string // what was wrong first
}

type seen struct {
	run, producer uint32
	number        int64
}

type trailKey struct {
	run, producer uint32
	partition     int32
}

func newKeeper(run uint32, partitions int, began map[int32]int64, all []*sent) *keeper {
	k := &keeper{run: run, senders: map[[2]uint32]*sent{}, excused: map[[2]uint32]map[int64]bool{}, trails: map[trailKey]int64{}}
	for p := range partitions {
		k.began, k.from, k.next = append(k.began, began[int32(p)]), append(k.from, -1), append(k.next, -1)
		k.wanted = append(k.wanted, map[int64]seen{})
	}
	for _, s := range all {
		id := [2]uint32{s.Run, s.Producer}
		k.senders[id], k.excused[id] = s, map[int64]bool{}
		for _, n := range s.Unknown {
			k.excused[id][n] = true
		}
		for _, n := range s.Refused {
			k.excused[id][n] = false
		}
		for _, sm := range s.Samples {
			k.wanted[s.partition(sm.Number)][sm.Offset] = seen{s.Run, s.Producer, sm.Number}
		}
	}
	return k
}

func (k *keeper) wrong(count *int64, format string, args ...any) {
	*count++
	if k.first == "" {
		k.first = fmt.Sprintf(format, args...)
	}
}

// add takes the next record of a partition.
func (k *keeper) add(r *client.Record) error {
	p := r.Partition
	if k.from[p] < 0 {
		k.from[p], k.next[p] = r.Offset, r.Offset
	}
	if r.Offset != k.next[p] {
		return fmt.Errorf("partition %d: read offset %d, wanted %d", p, r.Offset, k.next[p])
	}
	k.next[p]++
	run, producer, number, ok := whose(r.Key)
	if want, is := k.wanted[p][r.Offset]; is {
		k.samples++
		if !ok || want != (seen{run, producer, number}) {
			k.wrong(&k.moved, "partition %d, offset %d: number %d of producer %d was acknowledged there, something else is", p, r.Offset, want.number, want.producer)
		}
	}
	if !ok {
		return nil // of the measurement of capacity
	}
	k.records++
	s := k.senders[[2]uint32{run, producer}]
	if s == nil || s.partition(number) != p || number < int64(producer) {
		k.wrong(&k.phantoms, "partition %d, offset %d: number %d of producer %d in run %d was never sent there", p, r.Offset, number, producer, run)
		return nil
	}
	if may, failed := k.excused[[2]uint32{run, producer}][number]; failed && !may {
		k.wrong(&k.phantoms, "partition %d, offset %d: number %d of producer %d was refused for good, and is there", p, r.Offset, number, producer)
	}
	t := trailKey{run, producer, p}
	want, ok := k.trails[t]
	if !ok {
		if want = number; run == k.run && k.from[p] <= k.began[p] { // nothing of this run was trimmed
			want = min(want, s.firstOf(p))
		}
	}
	if number < want {
		k.wrong(&k.twice, "partition %d, offset %d: number %d of producer %d comes again, or late", p, r.Offset, number, producer)
		return nil
	}
	k.missing(s, p, want, number)
	k.trails[t] = number + int64(len(s.Highest))
	return nil
}

// firstOf is the first number that goes to a partition.
func (s *sent) firstOf(p int32) int64 {
	n := int64(s.Producer)
	for s.partition(n) != p {
		n++
	}
	return n
}

// missing counts what of the numbers from want up to before was acknowledged.
func (k *keeper) missing(s *sent, p int32, want, before int64) {
	failed := k.excused[[2]uint32{s.Run, s.Producer}]
	for n := want; n < before; n += int64(len(s.Highest)) {
		if _, ok := failed[n]; !ok {
			k.wrong(&k.lost, "partition %d: number %d of producer %d in run %d is not there", p, n, s.Producer, s.Run)
		}
	}
}

// finish looks at the ends.
func (k *keeper) finish() error {
	for _, id := range slices.SortedFunc(maps.Keys(k.senders), func(a, b [2]uint32) int { return slices.Compare(a[:], b[:]) }) {
		s := k.senders[id]
		for i, end := range s.End {
			p, step := int32(i), int64(len(s.End))
			switch want, ok := k.trails[trailKey{id[0], id[1], p}]; {
			case end > k.next[p] && end > 0:
				k.wrong(&k.lost, "partition %d ends at offset %d, %d was acknowledged", p, k.next[p], end-1)
			case ok:
				k.missing(s, p, want, s.Highest[p]+step)
			case end > k.from[p] && end > 0:
				k.wrong(&k.lost, "partition %d: of what producer %d got acknowledged up to offset %d nothing is there", p, s.Producer, end-1)
			}
		}
	}
	if k.lost+k.twice+k.phantoms+k.moved > 0 {
		return fmt.Errorf("%d records lost, %d twice, %d never sent or refused, %d elsewhere; first: %s", k.lost, k.twice, k.phantoms, k.moved, k.first)
	}
	return nil
}

// ends are the ends of the partitions that the loads write to.
func (r *overload) ends(ctx context.Context) (map[string]map[int32]int64, error) {
	out := map[string]map[int32]int64{}
	for topic := range writtenTo {
		ends, err := r.cl.ListOffsets(ctx, topic, client.AtEnd())
		if err != nil {
			return nil, err
		}
		out[topic] = ends
	}
	return out, nil
}

// writtenTo are the topics that the loads write to, and how many partitions they have.
var writtenTo = map[string]int{floodTopic: floodPartitions, largestTopic: largestPartitions}

// kept reads what is left of the topics that a run wrote to, and compares.
func (r *overload) kept(ctx context.Context, phase string, began map[string]map[int32]int64, run uint32) error {
	for _, topic := range slices.Sorted(maps.Keys(writtenTo)) {
		var all []*sent
		wrote := false
		for _, s := range r.sent {
			if s.Topic == topic {
				all = append(all, s)
				wrote = wrote || s.Run == run
			}
		}
		if !wrote {
			continue
		}
		k, err := r.reread(ctx, run, topic, began[topic], all)
		if err != nil {
			return fmt.Errorf("%s: reading %s back: %w", phase, topic, err)
		}
		if err := k.finish(); err != nil {
			r.violated("%s, %s: %v", phase, topic, err)
			continue
		}
		if k.records == 0 || k.samples == 0 {
			r.violated("%s, %s: %d records and %d samples were read back: that shows nothing", phase, topic, k.records, k.samples)
		}
		fmt.Printf("%-12s %s: %d records read back, all that was acknowledged is among them; %d where they were acknowledged\n", phase, topic, k.records, k.samples)
	}
	return nil
}

// reread reads a topic from its start to its end. The start may move while it is read; then it begins anew.
func (r *overload) reread(ctx context.Context, run uint32, topic string, began map[int32]int64, all []*sent) (*keeper, error) {
	for tries := 0; ; tries++ {
		k := newKeeper(run, writtenTo[topic], began, all)
		err := r.readOnce(ctx, topic, k)
		if runnelv1.AsError(err).GetReason() == runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE && tries < 5 {
			continue
		}
		return k, err
	}
}

func (r *overload) readOnce(ctx context.Context, topic string, k *keeper) error {
	in, err := r.cl.NewReader(topic, client.FromStart(), client.ToEnd(), client.ReaderBytes(64<<20))
	if err != nil {
		return err
	}
	defer in.Close()
	for rec, err := range in.Records(ctx) {
		if err != nil {
			return err
		}
		if err := k.add(rec); err != nil {
			return err
		}
	}
	return ctx.Err()
}
