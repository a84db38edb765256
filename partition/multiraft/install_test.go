package multiraft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// ship takes a shipment of a group from a broker.
func (c *cluster) ship(from int32, group uint64) *raftlog.Shipment {
	c.t.Helper()
	g := c.nodes[from].groups[group]
	var cp raftlog.Checkpoint
	taken := false
	g.shipPoint(func(at raftlog.Checkpoint, err error) {
		if err != nil {
			c.t.Error(err)
		}
		cp, taken = at, true
	})
	c.until("a checkpoint to ship", time.Second, func() bool { return taken })
	sh, err := g.Log().Ship(context.Background(), cp)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = sh.Close() })
	return sh
}

// receive takes a step of a transfer after the other, with the world going on in between, and installs the replica.
func (c *cluster) receive(sh *raftlog.Shipment, in *raftlog.Installer, between func()) error {
	if err := in.Begin(sh.Manifest()); err != nil {
		return err
	}
	buf := make([]byte, 16<<10)
	pause := func() {
		c.w.Run(c.w.Now() + 10*time.Millisecond)
		if between != nil {
			between()
		}
	}
	for i := range sh.Manifest().Files {
		for have, done := in.Have(i); !done && have < sh.Manifest().Files[i].Bytes; have, done = in.Have(i) {
			n, err := sh.ReadFile(i, have, buf)
			if err != nil {
				return err
			}
			if err := in.WriteFile(i, have, buf[:n]); err != nil {
				return err
			}
			pause()
		}
		sum, rest, err := sh.Sum(i, 1<<30)
		if err != nil || rest > 0 {
			return errors.Join(err, fmt.Errorf("the hash lacks %d bytes", rest))
		}
		if err := in.FinishFile(i, sum); err != nil {
			return err
		}
	}
	for from := in.TailNext(); from <= sh.Manifest().Index; from = in.TailNext() {
		p, _, err := sh.Tail(from, 16<<10, nil)
		if err != nil {
			return err
		}
		if err := in.WriteTail(p); err != nil {
			return err
		}
		pause()
	}
	if err := in.Finish(); err != nil {
		return err
	}
	return sh.Installed()
}

// load has values proposed until the function it returns is called.
func (c *cluster) load(group uint64) (stop func()) {
	n, over := 0, false
	var write func()
	write = func() {
		if over {
			return
		}
		if l := c.leader(group); l != nil {
			n++
			l.ledgers[group].propose(fmt.Sprintf("load %d %s", n, strings.Repeat("z", 700)))
		}
		c.w.After(4*time.Millisecond, write)
	}
	write()
	return func() { over = true }
}

// onLeader asks the leader for a step until it is done.
func (c *cluster) onLeader(what string, group uint64, step func(g *Group, done func(error))) {
	c.t.Helper()
	const pending = "pending"
	state, last := "", error(nil)
	c.until(what, 20*time.Second, func() bool {
		if state == "done" {
			return true
		}
		if n := c.leader(group); n != nil && state == "" {
			state = pending
			step(n.groups[group], func(err error) {
				if state, last = "", err; err == nil {
					state = "done"
				}
			})
		}
		return false
	})
	if last != nil {
		c.t.Fatal(last)
	}
}

// shippingCluster runs three of four brokers with a group of several segments under way.
func shippingCluster(t *testing.T, seed uint64) *cluster {
	t.Helper()
	c := newCluster(t, seed, 4)
	c.log = raftlog.LogOptions{SegmentBytes: 24 << 10}
	c.addGroup(1, 3)
	c.startAll()
	for i := range 60 {
		c.put(1, fmt.Sprintf("%d %s", i, strings.Repeat("a", 2000)))
	}
	return c
}

func (c *cluster) installer(on int32, group uint64) *raftlog.Installer {
	c.t.Helper()
	in, err := c.nodes[on].store.Install(group, group*100+uint64(on))
	if err != nil {
		c.t.Fatal(err)
	}
	return in
}

// joined starts an installed replica, makes it a learner and waits until it has caught up.
func (c *cluster) joined(on int32, group uint64) {
	c.t.Helper()
	replica := group*100 + uint64(on)
	c.groups[group][replica] = on
	for _, id := range c.ids {
		if n := c.nodes[id]; n != nil && n.groups[group] != nil {
			n.groups[group].SetMembers(c.groups[group]) // as the agents do: any of them may lead next
		}
	}
	if c.nodes[on].groups[group] == nil {
		if _, err := c.nodes[on].tryStart(group); err != nil {
			c.t.Fatal(err)
		}
	}
	c.onLeader("the learner is added", group, func(g *Group, done func(error)) { g.AddLearner(replica, on, done) })
	c.until("the learner has caught up", 5*time.Second, func() bool {
		n := c.leader(group)
		return n != nil && n.groups[group].Status().Peers[replica].CaughtUp
	})
}

// replace promotes one replica and removes another, and ends the removed one.
func (c *cluster) replace(group uint64, add, remove int32) {
	c.t.Helper()
	change := VoterChange{Promote: []uint64{group*100 + uint64(add)}, Remove: []uint64{group*100 + uint64(remove)}}
	by := uint64(0)
	c.onLeader("the voters change", group, func(g *Group, done func(error)) {
		by = g.replica
		g.ChangeVoters(change, done)
	})
	if by == change.Remove[0] {
		c.t.Fatal("the leader took its own vote instead of handing over first")
	}
	c.onLeader("the joint configuration is left", group, func(g *Group, done func(error)) { g.LeaveJoint(done) })
	c.onLeader("asking again changes nothing", group, func(g *Group, done func(error)) { g.ChangeVoters(change, done) })
	lead := c.leader(group)
	cs := lead.groups[group].Status().Conf
	if !slices.Contains(cs.GetVoters(), change.Promote[0]) || slices.Contains(voters(cs), change.Remove[0]) || len(cs.GetVotersOutgoing()) > 0 {
		c.t.Fatalf("configuration %v after %+v", cs, change)
	}
	if lead.id == remove {
		c.t.Fatal("a removed replica leads")
	}
	if n := c.nodes[remove]; n != nil {
		if err := n.host.StopGroup(group); err != nil {
			c.t.Fatal(err)
		}
		delete(n.groups, group)
		delete(n.ledgers, group)
	}
	delete(c.groups[group], group*100+uint64(remove))
}

func TestRule19FourthReplicaIsInstalledUnderLoadAndTakesAVotersPlace(t *testing.T) {
	c := shippingCluster(t, 61)
	stop := c.load(1)
	lead := c.leader(1)
	in := c.installer(4, 1)
	sh := c.ship(lead.id, 1)
	if n := len(sh.Manifest().Files); n < 3 {
		t.Fatalf("only %d whole segments", n)
	}
	moved := false
	if err := c.receive(sh, in, func() {
		if !moved {
			moved = true // the leadership moves while the log travels
			c.nodes[lead.id].groups[1].TransferLeader(c.otherThan(lead.id).groups[1].replica)
		}
	}); err != nil {
		t.Fatal(err)
	}
	index := sh.Manifest().Index
	c.joined(4, 1)
	if got := c.nodes[4].ledgers[1].log[0].index; got != index+1 {
		t.Fatalf("the installed replica applied from entry %d on, it was installed up to %d", got, index)
	}
	// The leader itself is the one to go: it must hand over first.
	c.replace(1, 4, c.leader(1).id)
	stop()
	c.put(1, "last")
	c.settled(1)
	c.onLeader("the new voter leads", 1, func(g *Group, done func(error)) {
		if g.replica == 104 {
			done(nil)
			return
		}
		g.TransferLeader(104)
		done(errors.New("not yet"))
	})
	c.put(1, "led by the new one")
	c.settled(1)
}

func TestRule19SourceCrashesMidShipment(t *testing.T) {
	c := shippingCluster(t, 62)
	stop := c.load(1)
	source := c.otherThan(c.leader(1).id).id
	in := c.installer(4, 1)
	err := c.receive(c.ship(source, 1), in, func() {
		if c.nodes[source] != nil {
			c.kill(source)
		}
	})
	if err == nil {
		t.Fatal("a shipment outlived its source")
	}
	c.start(source)
	// From another source: nothing of the first fits, and the same again from the first one does.
	if err := c.receive(c.ship(c.awaitLeader(1).id, 1), in, nil); err != nil {
		t.Fatal(err)
	}
	c.joined(4, 1)
	c.replace(1, 4, source)
	stop()
	c.put(1, "last")
	c.settled(1)
}

func TestRule19LearnerCrashesAfterTheInstall(t *testing.T) {
	c := shippingCluster(t, 63)
	stop := c.load(1)
	in := c.installer(4, 1)
	if err := c.receive(c.ship(c.leader(1).id, 1), in, nil); err != nil {
		t.Fatal(err)
	}
	c.kill(4)
	c.w.Run(c.w.Now() + time.Second)
	c.start(4)
	c.joined(4, 1)
	c.kill(4)
	// A learner that is away holds nobody up, and is not promoted.
	refused := error(nil)
	c.w.Run(c.w.Now() + 3*time.Second)
	c.leader(1).groups[1].ChangeVoters(VoterChange{Promote: []uint64{104}}, func(err error) { refused = err })
	c.w.Run(c.w.Now() + 50*time.Millisecond)
	if refused == nil {
		t.Fatal("a learner that is away was promoted")
	}
	c.start(4)
	c.replace(1, 4, c.otherThan(c.leader(1).id).id)
	stop()
	c.put(1, "last")
	c.settled(1)
}

// The leader needs nobody else to tell it where its learner is.
func TestLearnerIsReachedWithoutSetMembers(t *testing.T) {
	c := newCluster(t, 66, 2)
	c.addGroup(1, 1)
	c.startAll()
	c.put(1, "first")
	if err := c.receive(c.ship(1, 1), c.installer(2, 1), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.nodes[2].tryStart(1); err != nil {
		t.Fatal(err)
	}
	g := c.leader(1).groups[1]
	c.onLeader("the learner is added", 1, func(g *Group, done func(error)) { g.AddLearner(102, 2, done) })
	c.until("the learner has caught up", 5*time.Second, func() bool { return g.Status().Peers[102].CaughtUp })
	c.put(1, "second")
	c.settled(1)
}

// An installed replica is in no configuration, then a learner: it never campaigns, whoever else is gone.
func TestInstalledReplicaNeverCampaignsBeforeItVotes(t *testing.T) {
	c := shippingCluster(t, 64)
	in := c.installer(4, 1)
	if err := c.receive(c.ship(1, 1), in, nil); err != nil {
		t.Fatal(err)
	}
	c.groups[1][104] = 4
	c.tap = func(from, _ int32, _ Lane, p *Packet) bool {
		for _, m := range p.Messages {
			if typ := m.Raft.GetType(); from == 4 && (typ == raftpb.MsgPreVote || typ == raftpb.MsgVote) {
				t.Errorf("the installed replica campaigns: %s", typ)
			}
		}
		return true
	}
	if _, err := c.nodes[4].tryStart(1); err != nil {
		t.Fatal(err)
	}
	silence := func() {
		for _, id := range c.ids[:3] {
			c.kill(id)
		}
		c.w.Run(c.w.Now() + 20*time.Second)
		c.nodes[4].groups[1].Campaign()
		c.w.Run(c.w.Now() + time.Second)
		for _, id := range c.ids[:3] {
			c.start(id)
		}
		c.awaitLeader(1)
	}
	silence()
	c.joined(4, 1)
	silence()
	c.put(1, "last")
	c.settled(1)
}

// A learner that comes after retention has passed its end is told apart: it has to be replaced.
func TestRule19LearnerBehindRetentionIsReported(t *testing.T) {
	c := shippingCluster(t, 65)
	in := c.installer(4, 1)
	if err := c.receive(c.ship(c.leader(1).id, 1), in, nil); err != nil {
		t.Fatal(err)
	}
	c.w.Run(c.w.Now() + 5*time.Minute) // the lease is over
	stop := c.load(1)
	c.w.Run(c.w.Now() + time.Second)
	for _, id := range c.ids[:3] {
		l := c.nodes[id].ledgers[1]
		l.start = l.next
		l.g.do(func() { l.g.trim(l.start) })
	}
	c.w.Run(c.w.Now() + time.Second)
	stop()
	first, err := c.leader(1).groups[1].Log().FirstIndex()
	if err != nil || first <= in.Index()+1 {
		t.Fatalf("the log was not trimmed: it starts at %d, the replica ends at %d, %v", first, in.Index(), err)
	}
	c.groups[1][104] = 4
	if _, err := c.nodes[4].tryStart(1); err != nil {
		t.Fatal(err)
	}
	c.onLeader("the learner is added", 1, func(g *Group, done func(error)) { g.AddLearner(104, 4, done) })
	c.until("the leader says that it is behind", 5*time.Second, func() bool { return c.leader(1).groups[1].Status().Peers[104].Behind })
	refused := error(nil)
	c.leader(1).groups[1].ChangeVoters(VoterChange{Promote: []uint64{104}}, func(err error) { refused = err })
	c.w.Run(c.w.Now() + 50*time.Millisecond)
	if refused == nil {
		t.Fatal("it was promoted")
	}
	c.onLeader("the learner is removed", 1, func(g *Group, done func(error)) { g.RemoveLearner(104, done) })
	c.put(1, "goes on")
}
