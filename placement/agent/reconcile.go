package agent

import (
	"fmt"
	"maps"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/placement"
)

// want is what the state asks of a replica.
type want uint8

const (
	wantRun  want = iota
	wantGone      // stop it, delete its data, report that
)

// replica is one replica of this broker. The first group of fields never changes; partition and status are set before
// the replica is put into Agent.running and belong to the task at work until then; the rest is guarded by Agent.mu.
type replica struct {
	id, group uint64
	topic     string
	number    int32
	members   map[uint64]int32 // replica id -> broker
	preferred bool             // this broker is the preferred leader's

	partition *partition.Partition
	status    func() status

	want     want
	settings partition.Settings
	queued   bool   // stands in Agent.queue
	working  bool   // a task is at work on it
	open     bool   // is in Agent.running
	gone     bool   // its data is deleted
	fault    string // why the last try failed; tried again at the next Tick
	lost     string // why it can never run again (quarantine)
}

// status is what readiness and the counts ask of a running replica.
type status struct {
	commit, applied  uint64
	hasLeader, leads bool
	lost             bool // out of service for good
}

func (r *replica) name() string { return fmt.Sprintf("%s/%d", r.topic, r.number) }

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
	for name, t := range prev.Topics {
		if now := s.Topics[name]; now != t && (now == nil || now.ID != t.ID) {
			a.dropTopic(t)
		}
	}
	for name, t := range s.Topics {
		if prev.Topics[name] != t {
			a.wantTopic(t)
		}
	}
	for id, d := range s.Tombstones {
		if d.Broker == a.cfg.BrokerID && prev.Tombstones[id] == nil {
			a.drop(&replica{id: id, group: d.Group, topic: d.Topic, number: d.Partition})
		}
	}
	a.reconciled = s
	a.mu.Lock()
	a.compared = s.Revision
	a.mu.Unlock()
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

// wantTopic has the topic's replicas of this broker run with the topic's settings.
func (a *Agent) wantTopic(t *placement.Topic) {
	settings, err := partition.ParseSettings(t.Config)
	if err != nil {
		// The controller checked them, so another version did. Run with the defaults rather than not at all, but delete nothing
		// by a rule that may not be the topic's.
		a.log.Error("the topic's settings are not known to this version; its partitions run with the defaults here, and nothing is deleted", "topic", t.Name, "err", err)
		settings = partition.DefaultSettings()
		settings.RetentionMS, settings.RetentionBytes = -1, -1
	}
	for n := range t.Partitions {
		p := &t.Partitions[n]
		own, ok := p.On(a.cfg.BrokerID)
		if !ok || own.Learner {
			continue
		}
		a.wantReplica(t.Name, int32(n), p, own, settings)
	}
}

func (a *Agent) wantReplica(topic string, number int32, p *placement.Partition, own placement.Replica, settings partition.Settings) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.replicas[own.ID]; r != nil {
		if r.settings != settings {
			r.settings = settings
			if r.open {
				r.partition.SetSettings(settings)
			}
		}
		return
	}
	r := &replica{
		id: own.ID, group: p.Group, topic: topic, number: number, settings: settings,
		members: make(map[uint64]int32, len(p.Replicas)), preferred: p.Replicas[0].Broker == a.cfg.BrokerID,
	}
	for _, m := range p.Replicas {
		r.members[m.ID] = m.Broker
	}
	a.replicas[own.ID] = r
	if why := a.onDisk[own.ID].quarantine; why != "" {
		a.loseLocked(r, why)
		return
	}
	a.enqueueLocked(r)
}

// dropTopic deletes this broker's replicas of a topic that an older committed state had and this one has not: a
// committed command deleted it. Usually there are tombstones too, unless this broker answered them before it restarted.
func (a *Agent) dropTopic(t *placement.Topic) {
	for n := range t.Partitions {
		if own, ok := t.Partitions[n].On(a.cfg.BrokerID); ok {
			a.drop(&replica{id: own.ID, group: t.Partitions[n].Group, topic: t.Name, number: int32(n)})
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
	r.want = wantGone
	r.fault, r.lost = "", ""
	a.running.Delete(r.group) // no new request reaches it
	a.enqueueLocked(r)
}

func (a *Agent) enqueueLocked(r *replica) {
	if r.queued || r.working {
		return // whoever is at work looks again when done
	}
	r.queued = true
	a.queue = append(a.queue, r)
	a.openers[a.nextWake%len(a.openers)].Wake()
	a.nextWake++
}

// retry queues what failed.
func (a *Agent) retry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.replicas {
		if r.fault != "" {
			a.enqueueLocked(r)
		}
	}
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
	if a.compared == 0 || a.compared != a.latest.Load().Revision {
		return
	}
	for id, d := range maps.All(a.onDisk) {
		if a.replicas[id] != nil || a.orphans[id] || d.group == placement.ControllerGroup {
			continue
		}
		a.orphans[id] = true
		a.log.Warn("this disk holds a replica that the cluster's state does not name; it is left alone",
			"group", d.group, "replica", id, "revision", a.compared)
	}
}
