package agent

import (
	"fmt"
	"maps"
	"slices"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/placement"
)

// reconcile compares the newest state with the one it compared last and queues the work. It runs on the compare task.
// Apply shares what a command does not change, so a topic with the same pointer is the same topic.
func (a *Agent) reconcile() {
	s, prev := a.latest.Load(), a.reconciled
	a.mu.Lock()
	started := a.started
	a.mu.Unlock()
	if s == prev || !started || !a.ownDisk(s) {
		return
	}
	a.silence(s, prev)
	// What goes is dropped before anything is wanted: from then on whatever is wanted is wanted by this state.
	if wasRecovered(s, prev) {
		a.setAside(s)
		prev = &placement.State{Tombstones: prev.Tombstones} // the other topics are compared anew, too
	}
	a.endStrays(s)
	var was []string // in order, as below: one state is one order of work
	for name, t := range prev.Topics {
		if s.Topics[name] != t {
			was = append(was, name)
		}
	}
	slices.Sort(was)
	for _, name := range was {
		a.dropReplicas(prev.Topics[name], s.Topics[name], s.Revision)
	}
	var buried []uint64
	for id, d := range s.Tombstones {
		if d.Broker == a.cfg.BrokerID && prev.Tombstones[id] == nil {
			buried = append(buried, id)
		}
	}
	slices.Sort(buried)
	for _, id := range buried {
		d := s.Tombstones[id]
		a.drop(&replica{id: id, group: d.Group, topic: d.Topic, number: d.Partition, goneAt: s.Revision})
	}
	a.judge(s.Revision)
	var changed []string
	for name, t := range s.Topics {
		if prev.Topics[name] != t {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed) // all brokers open their replicas in the same order
	for _, name := range changed {
		a.wantTopic(s, s.Topics[name], prev.Topics[name])
	}
	a.reconciled = s
	a.mu.Lock()
	a.compared = s.Revision
	close(a.turned)
	a.turned = make(chan struct{})
	a.mu.Unlock()
	if mutant.On(mutant.OrphanDeleted) {
		a.logOrphans() // at once, whatever state this is
	}
}

// silence has the groups here hear no more of replicas that have tombstones. Their data is to be deleted, but they may not know it
// yet; and what was given up by hand contradicts what the others went on with.
func (a *Agent) silence(s, prev *placement.State) {
	same := len(s.Tombstones) == len(prev.Tombstones)
	for id := range s.Tombstones {
		if !same {
			break
		}
		same = prev.Tombstones[id] != nil
	}
	if same {
		return
	}
	gone := map[uint64][]uint64{}
	for id, d := range s.Tombstones {
		gone[d.Group] = append(gone[d.Group], id)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.gone
	a.gone = gone
	touched := maps.Clone(gone) // by what came or went; there may be thousands of others
	maps.Copy(touched, before)
	for _, group := range slices.Sorted(maps.Keys(touched)) {
		if l := a.opened[group]; l != nil {
			l.raft.SetGoneIf(a.goneLocked(l.replica))
		}
	}
}

// goneLocked tells whom a replica's group must not hear; it needs Agent.mu.
func (a *Agent) goneLocked(r *replica) func(replica uint64) bool {
	gone, below, members := slices.Concat(a.gone[r.group], r.recovery.lost), r.deafBelow, r.members
	return func(id uint64) bool {
		if slices.Contains(gone, id) {
			return true
		}
		_, member := members[id]
		return id < below && !member
	}
}

// judge notes the revision of the state that whatever is wanted from now on is wanted by.
func (a *Agent) judge(revision uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.judged = revision
	for r := range a.installs.active {
		if i := r.install; r.want == wantRun && i.in != nil {
			i.in.Wanted(revision)
		}
	}
}

// ownDisk tells whether the state's broker of this id is this data folder. A state in which the broker is not
// registered yet names no replica of it.
func (a *Agent) ownDisk(s *placement.State) bool {
	b := s.Brokers[a.cfg.BrokerID]
	if b == nil {
		return true
	}
	why := ""
	if own := a.store.Identity().Incarnation; b.Incarnation != own {
		why = fmt.Sprintf("broker %d is registered with another data folder (incarnation %s, this one is %s): start it with an empty data folder to join as a new broker",
			b.ID, b.Incarnation, own)
	}
	a.mu.Lock()
	changed := a.foreign != why
	a.foreign = why
	a.mu.Unlock()
	if changed && why != "" {
		a.log.Error("no replica is started: this is not the data folder that the cluster knows", "reason", why)
	}
	return why == ""
}

// wantTopic has the topic's replicas of this broker run with the topic's settings. was is the topic of that name before, nil if
// there was none.
func (a *Agent) wantTopic(s *placement.State, t, was *placement.Topic) {
	settings := a.settingsOf(t)
	sameConfig := was != nil && was.ID == t.ID && maps.Equal(was.Config, t.Config)
	for n := range t.Partitions {
		p := &t.Partitions[n]
		if sameConfig && n < len(was.Partitions) && samePartition(&was.Partitions[n], p) {
			continue
		}
		for _, own := range ofBroker(p, a.cfg.BrokerID) {
			a.wantReplica(s, t, int32(n), own, settings) //nolint:gosec // bounded by MaxPartitions
		}
	}
}

func (a *Agent) settingsOf(t *placement.Topic) partition.Settings {
	settings, err := partition.ParseSettings(t.Config)
	if err != nil {
		// The controller checked them, so another version did. Run with the defaults rather than not at all, but delete nothing
		// by a rule that may not be the topic's.
		a.log.Error("the topic's settings are not known to this version; its partitions run with the defaults here, and nothing is deleted", "topic", t.Name, "error", err)
		settings = partition.DefaultSettings()
		settings.RetentionMS, settings.RetentionBytes = -1, -1
	}
	if _, own := t.Config["segment.bytes"]; !own && a.cfg.SegmentBytes > 0 {
		settings.SegmentBytes = a.cfg.SegmentBytes
	}
	return settings
}

// wantReplica has one replica run as the state says. A replica that runs already learns where the others are: any of them may
// be asked to lead, and raft sends nothing to one whose broker it does not know.
func (a *Agent) wantReplica(s *placement.State, t *placement.Topic, number int32, own placement.Replica, settings partition.Settings) {
	p := &t.Partitions[number]
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.replicas[own.ID]
	fresh := r == nil
	if fresh {
		r = &replica{id: own.ID, group: p.Group, topic: t.Name, number: number, settings: settings}
		a.replicas[own.ID] = r
	}
	changed := false
	if b := birthOf(p, own); b != r.birth {
		r.birth, changed = b, true
	}
	if r.birth == birthFounder {
		r.founders, _ = p.Founding()
	}
	r.preferred = p.Replicas[0].Broker == a.cfg.BrokerID
	r.joining = own.Learner
	if rec := recoveryOf(s, t, number, own.ID); rec.revision > r.recovery.revision {
		r.recovery, changed = rec, true
	}
	if m := membersOf(p); !maps.Equal(m, r.members) {
		r.members = m
		if r.live != nil {
			r.live.raft.SetMembers(m)
		}
	}
	if below := leftBehind(s, p); below > r.deafBelow {
		r.deafBelow = below
		if r.live != nil {
			r.live.raft.SetGoneIf(a.goneLocked(r)) // after members, which it goes by
		}
	}
	if r.settings != settings {
		r.settings = settings
		if r.live != nil {
			r.live.setSettings(settings)
		}
	}
	if !fresh && !changed || r.want == wantGone {
		return
	}
	if why := a.onDisk[own.ID].quarantine; fresh && why != "" {
		a.loseLocked(r, why)
		return
	}
	a.enqueueLocked(r)
}

// dropReplicas deletes this broker's replicas of a topic that an older committed state had and the newer one has not: a
// committed command took them away. Usually there are tombstones too, unless this broker answered them before it restarted. now
// is nil if the topic is gone; revision is the newer state's.
func (a *Agent) dropReplicas(was, now *placement.Topic, revision uint64) {
	for n := range was.Partitions {
		p := &was.Partitions[n]
		var next *placement.Partition
		if now != nil && now.ID == was.ID && n < len(now.Partitions) {
			next = &now.Partitions[n]
			if samePartition(p, next) {
				continue
			}
		}
		for _, own := range ofBroker(p, a.cfg.BrokerID) {
			if next != nil {
				if _, stays := next.Replica(own.ID); stays {
					continue
				}
			}
			a.drop(&replica{id: own.ID, group: p.Group, topic: was.Name, number: int32(n), goneAt: revision}) //nolint:gosec // bounded by MaxPartitions
		}
	}
}

// drop has a replica deleted; fresh stands for one that the agent does not run.
func (a *Agent) drop(fresh *replica) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.replicas[fresh.id]
	if r == nil {
		r = fresh
		a.replicas[r.id] = r
	}
	if r.want == wantGone {
		return
	}
	r.want, r.goneAt = wantGone, fresh.goneAt
	r.fault, r.lost = "", ""
	if r.live != nil {
		a.unserve(r.live) // no new request reaches it
	}
	a.enqueueLocked(r)
}

func (a *Agent) enqueueLocked(r *replica) {
	if r.working {
		r.again = true // whoever is at work looks again when done
	}
	if r.queued || r.working {
		return
	}
	r.queued = true
	a.queue = append(a.queue, r)
	a.openers[a.nextWake%len(a.openers)].Wake()
	a.nextWake++
}

// loseLocked gives a replica up for good.
func (a *Agent) loseLocked(r *replica, why string) {
	r.lost, r.fault = why, ""
	a.log.Error("replica is quarantined and will not be started; replace it", "topic", r.topic, "partition", r.number,
		"group", r.group, "replica", r.id, "reason", why)
}

// logOrphans tells, once a replica, of data that no state names. It is never deleted: only a committed command does that.
func (a *Agent) logOrphans() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.compared == a.searched || a.compared != a.latest.Load().Revision {
		return
	}
	a.searched = a.compared
	for id, d := range maps.All(a.onDisk) {
		if a.replicas[id] != nil || a.orphans[id] || d.group == placement.ControllerGroup {
			continue
		}
		if a.waking.tried(id) {
			a.host.ReleaseHeld()
		}
		a.orphans[id] = true
		if mutant.On(mutant.OrphanDeleted) && a.store.Delete(d.group, id) == nil {
			delete(a.onDisk, id)
			continue
		}
		a.log.Warn("this disk holds a replica that the cluster's state does not name; it is left alone",
			"group", d.group, "replica", id, "revision", a.compared)
	}
}
