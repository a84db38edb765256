package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
)

// large is the loop of a cluster of 100 brokers and 100,000 partitions of three replicas where nothing happens.
func large(b *testing.B) *loop {
	s := population(b, 100, 100_000)
	l := newLoop(b, s, func(c *Config) { c.Automatic = true; c.MuteAfterReturn = time.Second })
	leads := map[uint64]int32{}
	sizes := map[int32]map[uint64]int64{}
	for _, t := range s.Topics {
		for n := range t.Partitions {
			p := &t.Partitions[n]
			leads[p.Group] = p.Replicas[0].Broker
			for _, r := range p.Replicas {
				if sizes[r.Broker] == nil {
					sizes[r.Broker] = map[uint64]int64{}
				}
				sizes[r.Broker][p.Group] = 123_456_789
			}
		}
	}
	l.leader = func(group uint64) (int32, uint64, bool) { return leads[group], 1, true }
	// The brokers' part is not counted: answers are made before.
	plain := ask.Encode(ask.StatusResponse{Boot: 1, Revision: s.Revision})
	sized := map[int32][]byte{}
	for id := range s.Brokers {
		sized[id] = ask.Encode(ask.StatusResponse{Boot: 1, Revision: s.Revision, Bytes: sizes[id]})
	}
	l.answer = func(broker int32, _ string, body []byte) ([]byte, error) {
		if req, err := ask.Decode[ask.StatusRequest](body); err == nil && req.Sizes {
			return sized[broker], nil
		}
		return plain, nil
	}
	l.run(time.Minute)
	return l
}

// BenchmarkIdleSecond is what a second costs the controller's leader in a large cluster where nothing happens: polls, sizes, the look at
// leaders, and the plan that is made now and then. An op is a second.
func BenchmarkIdleSecond(b *testing.B) {
	l := large(b)
	l.polls, l.passes = 0, 0
	b.ReportAllocs()
	b.ResetTimer()
	l.run(time.Duration(b.N) * time.Second)
	b.ReportMetric(float64(l.polls)/float64(b.N), "polls/op")
	b.ReportMetric(float64(l.passes)/float64(b.N), "passes/op")
}

// BenchmarkPass is one pass where nothing is due.
func BenchmarkPass(b *testing.B) {
	l := large(b)
	now := loopClock{l}.Now()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		l.d.pass(now)
	}
}

// BenchmarkPassAfterChange is one pass after a topic of 10,000 partitions changed.
func BenchmarkPassAfterChange(b *testing.B) {
	l := large(b)
	l.d.cfg.Automatic = false // the plan that follows is not the pass
	now := loopClock{l}.Now()
	states := make([]*placement.State, 2)
	for i := range states {
		next, _, err := placement.Apply(l.state, placement.SetTopicConfig{Name: "t1", Config: map[string]string{"retention.ms": fmt.Sprint(i)}})
		if err != nil {
			b.Fatal(err)
		}
		states[i] = next
	}
	b.ResetTimer()
	for i := range b.N {
		l.mu.Lock()
		l.state = states[i%2]
		l.mu.Unlock()
		l.d.topics.next = time.Time{}
		l.d.pass(now)
	}
}
