package controller

import (
	"fmt"
	"sync"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
)

const (
	// stuckFor is for how long a partition must have had no leader in session until it may be recovered by hand although a majority of
	// its brokers is alive.
	stuckFor = time.Minute
	// A vigil ends when nobody has asked for so long; more than maxVigils at a time are not kept.
	vigilFor  = 10 * time.Minute
	maxVigils = 256
	// wordFor is how long a broker's word counts. It is asked each second, and fails within two.
	wordFor = 5 * time.Second
)

// vigils watch the partitions whose recovery by hand was asked for although a majority of their brokers is alive: with what was lost, a
// group can be stuck all the same, for what its replicas believe to be its configuration. Whether it is shows only in that
// nobody leads it in session. The loop asks about these partitions with each poll. It is used by the loop and by requests.
//
// A broker that is not heard here may lead all the same, and be heard by the others. Then a majority follows it, and of that at least one is
// heard here, since a majority is: so all that are heard are asked whom they follow. Where those that are not might be a majority by themselves,
// as in phase joint, they have to be silent for as long as where a majority is given up.
type vigils struct {
	mu sync.Mutex
	by map[uint64]*vigil // by group
}

type vigil struct {
	topic   string
	topicID uint64
	number  int32
	after   uint64    // placement.Partition.Recovered: what was before that says nothing of what came of it
	since   time.Time // when a leader was last seen, or could not be ruled out
	seen    string    // what was seen then
	judged  time.Time // by the loop, last
	began   time.Time
	asked   time.Time
	words   map[int32]word // by broker
}

// word is what a broker said of a group that it does not lead in session.
type word struct {
	at    time.Time
	lead  int32 // the broker that leads it, as far as this one knows and hears; 0: none
	tells bool  // false: its release does not tell of others
}

// vigil tells for how long a partition is known to have had no leader in session, and, to go on a sentence, what speaks for one now. The
// first time it is asked it begins to watch.
func (c *Controller) vigil(t *placement.Topic, n int32) (time.Duration, string) {
	d := c.driving()
	if d == nil {
		return 0, ""
	}
	return d.vigils.keep(c.cfg.Env.Now(), t, n)
}

func (x *vigils) keep(now time.Time, t *placement.Topic, n int32) (time.Duration, string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for group, v := range x.by {
		if now.Sub(v.asked) > vigilFor {
			delete(x.by, group)
		}
	}
	group, after := t.Partitions[n].Group, t.Partitions[n].Recovered
	v := x.by[group]
	if v != nil && v.after != after {
		delete(x.by, group)
		v = nil
	}
	if v == nil {
		if len(x.by) >= maxVigils {
			return 0, ""
		}
		if x.by == nil {
			x.by = map[uint64]*vigil{}
		}
		v = &vigil{topic: t.Name, topicID: t.ID, number: n, after: after, since: now, judged: now, began: now, words: map[int32]word{}}
		x.by[group] = v
	}
	v.asked = now
	d := v.judged.Sub(v.since)
	if d >= wordFor || v.seen == "" {
		return d, ""
	}
	return d, "; " + v.seen
}

// addWanted has every broker with a replica of a watched partition asked for the group.
func (x *vigils) addWanted(s *placement.State, out map[int32]*wanted) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for group, v := range x.by {
		p := v.partition(s, group)
		if p == nil {
			delete(x.by, group)
			continue
		}
		if p.Move != nil {
			continue // asked for by its mover
		}
		for _, r := range p.Replicas {
			if out[r.Broker] == nil {
				out[r.Broker] = &wanted{}
			}
			out[r.Broker].groups = append(out[r.Broker].groups, group)
		}
	}
}

func (v *vigil) partition(s *placement.State, group uint64) *placement.Partition {
	t := s.Topics[v.topic]
	if t == nil || t.ID != v.topicID || t.Partitions[v.number].Group != group {
		return nil
	}
	return &t.Partitions[v.number]
}

// told takes in what a broker says of the groups that it was asked for.
func (x *vigils) told(now time.Time, broker int32, asked []uint64, resp *ask.StatusResponse) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.by) == 0 {
		return
	}
	for _, group := range asked {
		v := x.by[group]
		if v == nil {
			continue
		}
		if _, leads := resp.Groups[group]; leads {
			v.mayLead(now, fmt.Sprintf("broker %d leads it", broker))
		}
		v.words[broker] = word{at: now, lead: resp.Leaders[group], tells: resp.Leaders != nil}
	}
}

// failed takes in that a broker did not answer: it may lead all that it was asked for.
func (x *vigils) failed(now time.Time, broker int32, asked []uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, group := range asked {
		if v := x.by[group]; v != nil {
			v.mayLead(now, fmt.Sprintf("broker %d does not tell whether it leads it", broker))
		}
	}
}

func (v *vigil) mayLead(now time.Time, seen string) {
	v.judgedAt(now)
	v.since, v.seen = v.judged, seen
}

// judgedAt never goes back: whoever asked for the vigil may have come in between the loop's look at the clock and its judgement.
func (v *vigil) judgedAt(now time.Time) {
	if now.After(v.judged) {
		v.judged = now
	}
}

// judge looks at what the brokers said, and who is silent. It is called at each pass. Brokers that are silent for the time after may be taken for gone.
func (x *vigils) judge(now time.Time, s *placement.State, h *hearing, after time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.by) == 0 {
		return
	}
	silences := h.silences()
	for group, v := range x.by {
		if p := v.partition(s, group); p != nil {
			v.judgedAt(now)
			if seen := v.judge(now, p, h.alive, func(broker int32) bool { return silences[broker] >= after }); seen != "" {
				v.mayLead(now, seen)
			}
		}
	}
}

// judge says why the partition may have a leader; "" if it has none. One needs a majority of those that do not deny that they follow it, and
// is none that denies that it leads. Who is gone does neither, if all that are heard have told.
func (v *vigil) judge(now time.Time, p *placement.Partition, heard, gone func(broker int32) bool) string {
	said, all := map[int32]word{}, true // what counts, and whether it is of all that are heard
	for _, r := range p.All() {
		w, told := v.words[r.Broker]
		if !told {
			w = word{at: v.began, tells: true}
		}
		if !heard(r.Broker) {
			continue
		}
		if now.Sub(w.at) <= wordFor {
			said[r.Broker] = w
		}
		all = all && said[r.Broker].tells
	}
	lead := int32(0)
	for _, r := range p.All() {
		w, told := said[r.Broker]
		if !told && !(all && gone(r.Broker)) {
			lead = r.Broker
		}
		if _, denies := said[w.lead]; w.lead != 0 && !denies {
			return fmt.Sprintf("broker %d says that broker %d leads it, which the controller does not hear: see to the network between them", r.Broker, w.lead)
		}
	}
	if lead != 0 && p.MayDecide(func(r placement.Replica) bool { return !said[r.Broker].tells && !(all && gone(r.Broker)) }) {
		return fmt.Sprintf("broker %d, which does not tell, may lead it", lead)
	}
	return ""
}
