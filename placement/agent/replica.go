package agent

import (
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
)

// want is what the state asks of a replica.
type want uint8

const (
	wantRun   want = iota
	wantGone       // stop it, delete its data, report that
	wantAside      // stop it and leave its data, see setAside
)

// birth says how a replica that is not on the disk comes to be there. A replica on the disk is simply run.
type birth uint8

const (
	birthNone      birth = iota // not at all: it was there once, or was never made in time; its data is lost
	birthFounder                // it is made with the founding configuration
	birthInstalled              // it is installed from another broker
	birthCancelled              // its move is on the way back: whatever was received of it goes
)

// birthOf tells how a replica of the partition may come to be on its disk. Founders are made from nothing only as long as
// the group's replicas are the founding ones: a founder that was not there when the group moved on could give a vote
// that nobody counts on any more. A replica that a move adds is installed in phase installing and never again (RULES 19):
// from the next phase on it may have acknowledged something.
func birthOf(p *placement.Partition, own placement.Replica) birth {
	if !slices.ContainsFunc(p.Replicas, func(r placement.Replica) bool { return r.ID == own.ID }) {
		switch {
		case p.Move.Cancelled:
			return birthCancelled
		case p.Move.Phase == placement.PhaseInstalling:
			return birthInstalled
		}
		return birthNone
	}
	if _, still := p.Founding(); still && p.Recovered == 0 {
		return birthFounder
	}
	return birthNone
}

// replica is one replica of this broker. The first group of fields never changes; the rest is guarded by Agent.mu.
type replica struct {
	id, group uint64
	topic     string
	number    int32

	want      want
	goneAt    uint64 // revision of the state that no longer wants it
	birth     birth
	founders  []uint64         // with birthFounder; never changed in place
	members   map[uint64]int32 // replica id -> broker, of the partition and its move; never changed in place
	preferred bool             // this broker is the preferred leader's
	joining   bool             // a move adds it
	stray     bool             // no state names it any more, and it runs for its group's sake, see setAside
	settings  partition.Settings
	recovery  recovery // the newest that concerns it
	// deafBelow is set if the partition was recovered after the controller group: a replica of a lower id that the state does not name is
	// a stray that was given up, with or without a name.
	deafBelow uint64
	recovered uint64 // revision of the one that it took up since the broker started

	queued  bool     // stands in Agent.queue
	working bool     // a task is at work on it
	again   bool     // something changed since that task looked
	live    *live    // while it is open in the host
	gone    bool     // its data is deleted
	install *install // while it is being installed
	fault   string   // why the last try failed, or why it stopped; tried again by Tick
	retries retries  // of what failed
	lost    string   // why it can never run again (quarantine)
	yields  bool     // it does not run since its successor is to, see successor
}

// live is a replica that is open in the host. It never changes, but for lacked: one that is started again gets another.
type live struct {
	*replica
	lacked    bool // voters were behind the log's start when it was looked after last; of Tick alone
	partition *partition.Partition
	raft      *multiraft.Group
	since     time.Time // it was opened
	status    func() status
	// turn is full while a step of a membership change is under way: from when it is begun until raft tells what became of it, even
	// if whoever asked has given up by then.
	turn chan struct{}
}

// setSettings has the running replica go by others of its topic.
func (l *live) setSettings(s partition.Settings) {
	l.partition.SetSettings(s)
	l.raft.Log().SetSegments(s.SegmentBytes, time.Duration(s.SegmentMS)*time.Millisecond)
}

// status is what readiness and the counts ask of a running replica.
type status struct {
	commit, applied  uint64
	hasLeader, leads bool
	lost             bool // out of service for good
}

// mayRunAgain tells whether it has stopped for a reason that does not forbid it to run under its id.
func (l *live) mayRunAgain() bool {
	err := l.raft.Healthy()
	return err != nil && !raftlog.Lasting(err)
}

func (r *replica) name() string { return fmt.Sprintf("%s/%d", r.topic, r.number) }

// ofBroker lists the replicas that a state wants on a broker: that of the partition and that which a move installs. There are
// both while one takes the place of another that is quarantined.
func ofBroker(p *placement.Partition, broker int32) (own []placement.Replica) {
	if r, ok := p.On(broker); ok {
		own = append(own, r)
	}
	if r, ok := p.Joining(broker); ok && p.Move.Installed() {
		own = append(own, r)
	}
	return own
}

func membersOf(p *placement.Partition) map[uint64]int32 {
	all := p.All()
	m := make(map[uint64]int32, len(all))
	for _, r := range all {
		m[r.ID] = r.Broker
	}
	return m
}

// samePartition tells whether nothing that the agent acts on changed between two states. Apply shares what a command does not
// change.
func samePartition(a, b *placement.Partition) bool {
	return a.Group == b.Group && a.Move == b.Move && a.Recovered == b.Recovered &&
		len(a.Replicas) == len(b.Replicas) && (len(a.Replicas) == 0 || &a.Replicas[0] == &b.Replicas[0])
}
