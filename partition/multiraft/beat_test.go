package multiraft

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env/sim"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// The short cut for a broker that hears all others must not cover a group with voters elsewhere.
func TestRule16VotersOnUnlistedBrokersAreNoQuorum(t *testing.T) {
	c := loadedCluster(t, 60)
	lead := c.leader(1)
	c.w.Run(c.w.Now() + 2*quorumLostAfter)
	if lead.ledgers[1].session == nil {
		t.Fatal("it leads no longer, although it hears everybody")
	}
	lead.host.SetBrokers([]int32{lead.id}) // nobody is missed, but nobody counts
	c.w.Run(c.w.Now() + 300*time.Millisecond)
	if lead.ledgers[1].session != nil {
		t.Error("still in session, although none of the other voters' brokers sends heartbeats")
	}
}

func TestHearingEverybodyCoversGroupsOnListedBrokersOnly(t *testing.T) {
	h, groups := ledHost(t, 2)
	now := h.env.Now()
	covers := func(g *Group) bool { return h.live.allWithin(now, quorumLostAfter).covers(g, g.view.Load()) }
	if !covers(groups[0]) {
		t.Error("a group on brokers that are all heard is not covered")
	}
	groups[0].members.set(map[uint64]int32{1: 1, 2: 2, 3: 9}, nil)
	if covers(groups[0]) {
		t.Error("covered, although a voter moved to an unlisted broker")
	}
	if !covers(groups[1]) {
		t.Error("another group is not covered")
	}
	h.SetBrokers([]int32{1, 2, 3, 4})
	if covers(groups[1]) {
		t.Error("covered, although a listed broker was never heard")
	}
	h.SetBrokers([]int32{1, 2})
	if covers(groups[1]) {
		t.Error("covered, although a voter's broker is no longer listed")
	}
	h.SetBrokers([]int32{1, 2, 3})
	h.Receive(3, &Packet{Nonce: 3, Heartbeat: &Heartbeat{Ack: true}})
	if !covers(groups[1]) {
		t.Error("not covered, although its brokers are listed and heard again")
	}
	conf := &raftpb.ConfState{Voters: []uint64{1, 2, 3, 4}}
	groups[1].view.Store(&view{role: RoleLeader, conf: conf})
	if covers(groups[1]) {
		t.Error("covered, although nobody knows where its new voter is")
	}
}

// ledHost is broker 1 of three, which hears both others and leads all of its groups: enough of them for the beat.
func ledHost(tb testing.TB, groups int) (*Host, []*Group) {
	tb.Helper()
	e := sim.New(1).Env()
	var store *raftlog.Store // never asked
	h := New(Config{Env: e, BrokerID: 1, BootNonce: 1, Store: store, Transport: deafTransport{}})
	h.SetBrokers([]int32{1, 2, 3})
	for id := int32(2); id <= 3; id++ {
		h.Receive(id, &Packet{Nonce: uint64(id), Heartbeat: &Heartbeat{Ack: true}})
	}
	var all []*Group
	for i := range groups {
		g := &Group{shared: h.shared, id: uint64(i + 1), replica: 1, task: noTask{}}
		g.members.set(map[uint64]int32{1: 1, 2: 2, 3: 3}, nil)
		g.view.Store(&view{role: RoleLeader, conf: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}, since: e.Now().Add(-time.Minute)})
		if !h.groups.add(g) {
			tb.Fatal("not added")
		}
		all = append(all, g)
	}
	return h, all
}

type noTask struct{}

func (noTask) Wake() {}
func (noTask) Stop() {}

type deafTransport struct{}

func (deafTransport) Send(int32, Lane, *Packet) bool { return true }

// BenchmarkTickGroups is one heartbeat's look at 3000 idle groups that are led here. With a broker missing, a majority is
// counted for each of them.
func BenchmarkTickGroups(b *testing.B) {
	for _, missing := range []bool{false, true} {
		name := "all heard"
		if missing {
			name = "one missing"
		}
		b.Run(name, func(b *testing.B) {
			h, _ := ledHost(b, 3000)
			if missing {
				h.SetBrokers([]int32{1, 2, 3, 4})
			}
			now := h.env.Now()
			b.ReportAllocs()
			for b.Loop() {
				h.ticker.round++
				h.tickGroups(now)
			}
		})
	}
}

// What a process sent before it died may be read after the first words of the one that took its place.
func TestTheBootThatGoesOnSpeakingIsTheLivingOne(t *testing.T) {
	w := sim.New(1)
	e := w.Env()
	l := newLiveness(1, 1, 500*time.Millisecond, e, e.Log, func() {})
	l.setBrokers([]int32{1, 2})
	const dead, living = 10, 11
	say := func(boot uint64) bool {
		return l.heard(2, &Packet{Nonce: boot, Heartbeat: &Heartbeat{Ack: true, EchoNonce: 1}})
	}
	if !say(living) || !say(dead) {
		t.Fatal("a boot that was never heard is not listened to")
	}
	if say(living) {
		t.Fatal("nothing tells the two apart yet: one has to wait")
	}
	for range 10 {
		w.Run(w.Now() + 100*time.Millisecond)
		say(living)
	}
	if !say(living) || !l.alive(2) {
		t.Fatal("the living boot is not heard, although the dead one has long been silent")
	}
	if say(dead) || !l.alive(2) {
		t.Fatal("what the dead boot sent is still listened to")
	}
}

// At rest all brokers send their heartbeats at the same moments, as often as before; see inStep.
func TestBrokersAtRestBeatInStep(t *testing.T) {
	for _, delay := range []time.Duration{time.Millisecond, 35 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) { beatInStep(t, delay) })
	}
}

func beatInStep(t *testing.T, delay time.Duration) {
	c := loadedCluster(t, 61)
	type beat struct {
		from int32
		at   time.Duration
	}
	var beats []beat
	c.tap = func(from, to int32, _ Lane, p *Packet) bool {
		if p.Heartbeat != nil && to == 1+from%3 {
			beats = append(beats, beat{from, c.w.Now()})
		}
		return true
	}
	for _, id := range []int32{2, 3} { // all began at once
		c.kill(id)
		c.w.Run(c.w.Now() + 330*time.Millisecond)
		c.start(id)
	}
	c.net.MinDelay, c.net.MaxDelay = delay, delay
	c.w.Run(c.w.Now() + time.Second)
	beats = nil
	c.w.Run(c.w.Now() + 10*time.Second)
	last := map[int32]time.Duration{}
	alone := 0
	for i, b := range beats {
		if i > 0 && i < len(beats)-1 && b.at-beats[i-1].at > 2*delay && beats[i+1].at-b.at > 2*delay {
			alone++
		}
		if d := b.at - last[b.from]; last[b.from] > 0 && d > 110*time.Millisecond {
			t.Errorf("broker %d sent no heartbeat for %s", b.from, d)
		}
		last[b.from] = b.at
	}
	if n := len(beats); n < 290 || n > 310 {
		t.Errorf("%d heartbeats in 10 s of 3 brokers to one other each, want about 300", n)
	}
	if alone > len(beats)/20 {
		t.Errorf("%d of %d heartbeats were sent while no other broker sent one", alone, len(beats))
	}
}
