package multiraft

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestRule18FollowerCatchesUpFromDisk(t *testing.T) {
	c := newCluster(t, 28, 3)
	c.tail = 20_000
	c.addGroup(1, 3)
	c.startAll()
	lead := c.awaitLeader(1)
	behind := c.otherThan(lead.id).id
	c.kill(behind)
	for i := range 40 {
		c.put(1, fmt.Sprintf("%d %s", i, strings.Repeat("y", 5000)))
	}
	c.start(behind)
	at := c.w.Now()
	c.until("it has caught up, without waiting for ticks", 300*time.Millisecond, func() bool { return c.nodes[behind].ledgers[1].next == 40 })
	t.Logf("caught up in %s", c.w.Now()-at)
	c.settled(1)
}

func TestRule19SnapshotsAreNeverSent(t *testing.T) {
	c := loadedCluster(t, 29)
	lead := c.leader(1)
	g := lead.groups[1]
	peer := c.otherThan(lead.id).groups[1].replica
	sent := 0
	c.tap = func(_, _ int32, _ Lane, p *Packet) bool {
		for _, m := range p.Messages {
			if m.Raft.GetType() == raftpb.MsgSnap {
				sent++
			}
		}
		return true
	}
	g.do(func() {
		g.route(&raftpb.Message{Type: raftpb.MsgSnap.Enum(), To: new(peer), From: new(g.replica)}, &g.sends)
		g.flush()
		if _, ok := g.snapshots[peer]; !ok {
			t.Error("the peer is not noted as behind the log")
		}
	})
	c.w.Run(c.w.Now() + 100*time.Millisecond)
	if sent != 0 {
		t.Error("a MsgSnap left the broker")
	}
	before := c.nodes[lead.id].ledgers[1].index
	c.otherThan(lead.id).host.Receive(lead.id, &Packet{Nonce: uint64(lead.id), Messages: []Message{{Group: 1, Raft: &raftpb.Message{
		Type: raftpb.MsgSnap.Enum(), From: new(g.replica), To: new(peer), Term: new(g.term),
		Snapshot: &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(before), Term: new(g.term), ConfState: g.conf}}}}}})
	c.put(1, "goes on")
	c.settled(1)
}

func TestRule22LeaderWithAHangingDiskHandsOver(t *testing.T) {
	c := loadedCluster(t, 30)
	old := c.leader(1)
	old.proc.Delay = func(class env.Class) time.Duration {
		if class == env.ClassAppend {
			return time.Hour
		}
		return 0
	}
	old.ledgers[1].propose("stuck")
	at := c.w.Now()
	// The simulated disk never begins with the write: what shows is the queue.
	c.until("another leader", 2*stallAfter*queueFactor, func() bool { l := c.leader(1); return l != nil && l != old })
	if took := c.w.Now() - at; took > stallAfter*queueFactor+1500*time.Millisecond {
		t.Errorf("another leader after %s", took)
	}
	c.put(1, "after")
	if got := c.acked[1][5]; got != "after" && got != "stuck" && c.acked[1][6] != "after" {
		t.Errorf("offset 5 is %q", got)
	}
}

func TestRule25HandOver(t *testing.T) {
	c := newCluster(t, 31, 3)
	for g := uint64(1); g <= 40; g++ {
		c.addGroup(g, 3)
	}
	c.found = 1
	c.startAll()
	c.until("broker 1 leads all", 5*time.Second, func() bool {
		for g := uint64(1); g <= 40; g++ {
			if n := c.leader(g); n == nil || n.id != 1 {
				return false
			}
		}
		return true
	})
	c.w.Run(c.w.Now() + time.Second)
	first := c.nodes[1]
	finished := false
	ho := first.host.startHandOver(func() { finished = true })
	c.until("the hand-over", 2*time.Second, func() bool { return finished })
	if err := ho.err(); err != nil {
		t.Error(err)
	}
	for g := uint64(1); g <= 40; g++ {
		c.put(g, "after")
	}
	c.until("the others lead all", time.Second, func() bool { return first.host.leads() == 0 })

	// Nobody there to take over: proposals wait, then go on.
	lead := c.leader(1)
	for _, id := range c.ids {
		c.net.Block(lead.id, id, true)
	}
	finished = false
	ho = lead.host.startHandOver(func() { finished = true })
	lead.ledgers[1].propose("during")
	c.w.Run(c.w.Now() + 50*time.Millisecond)
	for _, id := range c.ids {
		c.net.Block(lead.id, id, false)
	}
	c.until("the end of it", 2*time.Second, func() bool { return finished })
	c.until("what came meanwhile is acked", 2*time.Second, func() bool {
		if n := c.leader(1); n != nil && n != lead && !c.isAcked(1, "during") {
			return true // handed over after all; the queued record was never proposed and its producer goes on there
		}
		return c.isAcked(1, "during")
	})
	_ = ho.err()
}

// leads counts the groups led here.
func (h *Host) leads() int {
	n := 0
	for _, g := range h.groups.all() {
		if g.view.Load().role == RoleLeader {
			n++
		}
	}
	return n
}

func TestRule26BrokersLearnWhoLeads(t *testing.T) {
	c := newCluster(t, 32, 4)
	c.addGroup(1, 3)
	c.startAll()
	c.awaitLeader(1)
	far := c.nodes[4]
	changes := 0
	far.host.OnLeaders(func() { changes++ })
	knows := func() bool {
		n, l := c.nodes[4], c.leader(1)
		if l == nil {
			return false
		}
		b, term, ok := n.host.Leader(1)
		return ok && b == l.id && term == l.ledgers[1].session.Term
	}
	c.until("a broker without a replica knows the leader", 20*time.Millisecond, knows)
	c.w.Run(c.w.Now() + time.Millisecond)
	if changes == 0 {
		t.Error("OnLeaders was not called")
	}
	c.w.Run(c.w.Now() + time.Second)

	// A lost delta is noticed by its number.
	old := c.leader(1)
	c.tap = func(_, to int32, _ Lane, p *Packet) bool { return to != 4 || len(p.Leaders) == 0 }
	old.groups[1].TransferLeader(c.otherThan(old.id).groups[1].replica)
	c.until("another leader", time.Second, func() bool { l := c.leader(1); return l != nil && l != old })
	c.w.Run(c.w.Now() + 150*time.Millisecond)
	if knows() {
		t.Fatal("the delta was not lost: the test proves nothing")
	}
	c.tap = nil
	c.until("it asks for the whole table", 700*time.Millisecond, knows)

	c.kill(4)
	c.start(4)
	c.until("a restarted broker knows the leader", 700*time.Millisecond, knows)

	dead := c.leader(1).id
	c.kill(dead)
	c.refused(dead)
	if _, _, ok := c.nodes[4].host.Leader(1); ok {
		t.Error("a dead broker is named as leader")
	}
	c.until("it knows the next leader", time.Second, knows)
}

func TestPoisonedLogStopsOneReplicaOnly(t *testing.T) {
	broken := ""
	c := newCluster(t, 33, 3)
	c.hooks.Commit = func(path string, commit func() error) error {
		if broken != "" && strings.HasPrefix(path, broken) && !strings.HasSuffix(path, "meta.db") {
			broken = "" // this write only
			return errInjected
		}
		return commit()
	}
	c.addGroup(1, 3)
	c.addGroup(2, 3)
	c.startAll()
	c.put(1, "before")
	c.put(2, "before")
	bad := c.leader(1)
	l := bad.ledgers[1]
	c.w.Run(c.w.Now() + time.Second)
	broken = filepath.Join(c.dir, fmt.Sprint(bad.id))
	l.propose("on the followers only")
	c.until("the replica stopped", time.Second, func() bool { return bad.groups[1].Healthy() != nil })
	c.w.Run(c.w.Now() + time.Millisecond)
	c.put(1, "after")
	if !errors.Is(bad.groups[1].Healthy(), errInjected) {
		t.Errorf("healthy: %v", bad.groups[1].Healthy())
	}
	if !l.stopped || len(l.ended) != 1 || l.ended[0].GetReason() != runnelv1.ErrorReason_ERROR_REASON_STORAGE {
		t.Errorf("stopped %t, sessions ended with %v", l.stopped, l.ended)
	}
	c.put(2, "the other group goes on")
	if bad.groups[2].Healthy() != nil {
		t.Error("another replica of the broker stopped too")
	}
	c.kill(bad.id)
	delete(c.groups[1], bad.groups[1].replica) // it cannot start
	n := c.start(bad.id)
	var q *raftlog.QuarantinedError
	if _, err := n.tryStart(1); !errors.As(err, &q) {
		t.Errorf("starting a quarantined replica: %v", err)
	}
}

func TestPanicQuarantinesOneReplicaOnly(t *testing.T) {
	c := newCluster(t, 34, 3)
	c.addGroup(1, 3)
	c.addGroup(2, 3)
	c.startAll()
	c.put(1, "before")
	bad := c.otherThan(c.leader(1).id)
	bad.ledgers[1].applyFn = func(record.Meta) { panic("tocommit is out of range") }
	c.put(1, "boom")
	c.until("the replica stopped", time.Second, func() bool { return bad.groups[1].Healthy() != nil })
	if !bad.ledgers[1].stopped {
		t.Error("its machine was not told")
	}
	c.put(1, "two of three go on")
	c.put(2, "so does the other group")
	if bad.groups[2].Healthy() != nil {
		t.Error("another replica of the broker stopped too")
	}
}

func TestInboxIsBounded(t *testing.T) {
	var in inbox
	l := limits{inboxMessages: 10, inboxBytes: 5000}
	m := &raftpb.Message{Type: raftpb.MsgApp.Enum(), Entries: []*raftpb.Entry{{Data: make([]byte, 1000)}}}
	taken := 0
	for range 20 {
		if in.message(m, l) {
			taken++
		}
	}
	if taken != 4 {
		t.Errorf("%d messages of about 1,100 bytes in a box of 5,000, want 4", taken)
	}
}
