package main

import (
	"strings"
	"testing"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// written is what two producers wrote in one run to two partitions, in the order of the log, and what they were told.
func written(t *testing.T) (all []*sent, log []*client.Record) {
	t.Helper()
	next := []int64{0, 0}
	for producer := range uint32(2) {
		all = append(all, ofTwo(newSent(floodTopic, 7, producer)))
	}
	for n := range int64(600) {
		for _, s := range all {
			number := n + int64(s.Producer)
			p := s.partition(number)
			log = append(log, &client.Record{Partition: p, Offset: next[p], Key: s.key(number)})
			s.took(number, next[p])
			next[p]++
		}
	}
	return all, log
}

// ofTwo has a topic have two partitions only.
func ofTwo(s *sent) *sent {
	s.Highest, s.End = []int64{-1, -1}, []int64{0, 0}
	return s
}

// reread has a keeper read records, numbered anew as a log that lacks some would.
func reread(t *testing.T, all []*sent, log []*client.Record, from, began int64) error {
	t.Helper()
	k := newKeeper(7, 2, map[int32]int64{0: began, 1: began}, all)
	next := []int64{from, from}
	for _, r := range log {
		c := *r
		c.Offset = next[c.Partition]
		next[c.Partition]++
		if err := k.add(&c); err != nil {
			t.Fatal(err)
		}
	}
	if k.records == 0 {
		t.Fatal("no record was read")
	}
	return k.finish()
}

func TestKeptLogIsRightWholeAndTrimmed(t *testing.T) {
	all, log := written(t)
	if err := reread(t, all, log, 0, 0); err != nil {
		t.Errorf("whole: %v", err)
	}
	if err := reread(t, all, log[200:], 100, 0); err != nil {
		t.Errorf("trimmed: %v", err)
	}
}

func TestEachLostOrForeignRecordIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		want string
		bend func(all []*sent, log []*client.Record) []*client.Record
	}{
		"some in the middle are lost": {"4 records lost", func(all []*sent, log []*client.Record) []*client.Record {
			for _, s := range all {
				s.Samples = nil // else they are elsewhere, too
				s.End[0], s.End[1] = s.End[0]-2, s.End[1]-2
			}
			return append(append([]*client.Record{}, log[:400]...), log[404:]...)
		}},
		"the first are lost": {"lost", func(_ []*sent, log []*client.Record) []*client.Record { return log[4:] }},
		"the last are lost":  {"lost", func(_ []*sent, log []*client.Record) []*client.Record { return log[:len(log)-2] }},
		"one comes twice": {"twice", func(_ []*sent, log []*client.Record) []*client.Record {
			return append(append(append([]*client.Record{}, log[:300]...), log[296:300]...), log[300:]...)
		}},
		"one that nobody sent": {"never sent", func(_ []*sent, log []*client.Record) []*client.Record {
			r := *log[len(log)-1]
			r.Key = newSent(floodTopic, 8, 0).key(2)
			return append(log, &r)
		}},
		"one that was refused": {"refused", func(all []*sent, log []*client.Record) []*client.Record {
			all[0].failed(100, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "no"))
			return log
		}},
		"one at another offset": {"elsewhere", func(all []*sent, log []*client.Record) []*client.Record {
			all[0].Samples[0].Offset++
			return log
		}},
	} {
		all, log := written(t)
		err := reread(t, all, c.bend(all, log), 0, 0)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), " 0 "+c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What was not acknowledged may be there or not.
func TestAnUnknownRecordMayBeMissing(t *testing.T) {
	all, log := written(t)
	for _, s := range all {
		s.Samples = nil
	}
	var without []*client.Record
	for _, r := range log {
		if _, producer, number, _ := whose(r.Key); producer != 1 || number != 301 {
			without = append(without, r)
		}
	}
	all[1].End[1]-- // the log is one shorter
	all[0].End[1]--
	if err := reread(t, all, without, 0, 0); err == nil {
		t.Error("an acknowledged record is missing and nobody minds")
	}
	all[1].failed(301, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP, "who knows"))
	if err := reread(t, all, without, 0, 0); err != nil {
		t.Errorf("a record of which nothing is known is missing: %v", err)
	}
}
