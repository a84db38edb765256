package partition

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxTopics is how many topics have series of their own on a broker. What is beyond shares the topic "", or whoever may create topics
// could fill the memory of whoever scrapes.
const maxTopics = 1000

// TopicCounts counts what the partitions of one topic did on this broker. They share it and hold it for as long as they run, so nothing on
// the way of a record looks anything up by name. It outlives the partitions: a counter that went back when one of them moved away would
// look like a burst to whoever takes its rate.
type TopicCounts struct {
	// Label is the topic's name; "" if it is counted together with others.
	Label string

	producedRecords, producedBytes, fetchedBytes atomic.Int64
}

// ProducedRecords is how many records were acknowledged.
func (c *TopicCounts) ProducedRecords() int64 { return c.producedRecords.Load() }

// ProducedBytes is the size of the acknowledged batches.
func (c *TopicCounts) ProducedBytes() int64 { return c.producedBytes.Load() }

// FetchedBytes is the size of the batches that were read for consumers.
func (c *TopicCounts) FetchedBytes() int64 { return c.fetchedBytes.Load() }

// topicTable has the counts of all topics that had a partition here. A topic that is folded into the rest stays there, so that no series
// ever goes back.
type topicTable struct {
	mu     sync.Mutex
	byName map[string]*TopicCounts
	own    int // of them, those with a label of their own
	rest   *TopicCounts
}

func (t *topicTable) get(name string) *TopicCounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.byName[name]; c != nil {
		return c
	}
	if t.byName == nil {
		t.byName = map[string]*TopicCounts{}
	}
	var c *TopicCounts
	switch {
	case t.own < maxTopics:
		t.own++
		c = &TopicCounts{Label: name}
	case t.rest == nil:
		t.rest = &TopicCounts{}
		fallthrough
	default:
		c = t.rest
	}
	t.byName[name] = c
	return c
}

// Topics lists the counts by label; those of the folded topics come first, if there are any.
func (m *Metrics) Topics() []*TopicCounts {
	t := &m.topics
	t.mu.Lock()
	out := make([]*TopicCounts, 0, t.own+1)
	if t.rest != nil {
		out = append(out, t.rest)
	}
	for _, c := range t.byName {
		if c != t.rest {
			out = append(out, c)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(out, func(a, b *TopicCounts) int { return strings.Compare(a.Label, b.Label) })
	return out
}

// KeepTopics forgets the counts of topics that no longer exist. A partition that still runs counts on, unseen.
func (m *Metrics) KeepTopics(exists func(name string) bool) {
	t := &m.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, c := range t.byName {
		if !exists(name) {
			delete(t.byName, name)
			if c != t.rest {
				t.own--
			}
		}
	}
}
