package partition

import (
	"fmt"
	"testing"
)

func TestTopicsBeyondTheMostAreCountedTogether(t *testing.T) {
	m := NewMetrics(nil)
	for i := range maxTopics + 5 {
		m.topics.get(fmt.Sprintf("t%04d", i)).producedRecords.Add(1)
	}
	m.topics.get("t0003").producedRecords.Add(1)
	m.topics.get(fmt.Sprintf("t%04d", maxTopics+2)).producedRecords.Add(1)
	all := m.Topics()
	if len(all) != maxTopics+1 {
		t.Fatalf("%d series, want %d and one for the rest", len(all), maxTopics)
	}
	if c := all[0]; c.Label != "" || c.ProducedRecords() != 6 {
		t.Errorf("the rest is %q with %d records, want 6 records", c.Label, c.ProducedRecords())
	}
	if c := all[4]; c.Label != "t0003" || c.ProducedRecords() != 2 {
		t.Errorf("%q has %d records", c.Label, c.ProducedRecords())
	}
}

func TestCountsStayWhileTheTopicDoes(t *testing.T) {
	m := NewMetrics(nil)
	kept, gone := m.topics.get("kept"), m.topics.get("gone")
	kept.producedRecords.Add(7)
	m.KeepTopics(func(name string) bool { return name == "kept" })
	gone.producedRecords.Add(1) // by a partition that is still being stopped
	if all := m.Topics(); len(all) != 1 || all[0] != kept {
		t.Fatalf("%d topics are left", len(all))
	}
	if m.topics.get("kept") != kept {
		t.Error("a partition that is opened again counts from nothing")
	}
	if m.topics.get("gone") == gone {
		t.Error("a topic made anew goes on with the counts of the deleted one")
	}
	// A place is free again for another topic.
	for i := range maxTopics - 2 {
		m.topics.get(fmt.Sprint("more", i))
	}
	if all := m.Topics(); all[0].Label == "" {
		t.Error("a topic was folded although there was room")
	}
}
