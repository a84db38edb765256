package multiraft

import (
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/runnel-io/runnel/partition/env"
)

// reader runs the log's disk reads for peers that are behind, away from the worker. The log starts few at a time.
type reader struct {
	task  env.Task
	mu    sync.Mutex
	queue []func()
}

func (r *reader) spawn(f func()) {
	r.mu.Lock()
	r.queue = append(r.queue, f)
	r.mu.Unlock()
	r.task.Wake()
}

func (r *reader) run() {
	r.mu.Lock()
	fs := r.queue
	r.queue = nil
	r.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

// poke has raft send to peers that lack entries, after what a send missed was read from disk (RULES 18). A forged
// heartbeat response is the one thing that resumes sending in every state without disturbing it.
func (g *Group) poke() {
	if g.role != RoleLeader {
		return
	}
	var behind []uint64
	beat := false
	g.rn.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		switch {
		case id == g.replica, p.Match >= g.last:
		case p.RecentActive:
			behind = append(behind, id)
		default:
			beat = true
		}
	})
	for _, id := range behind {
		g.step(&raftpb.Message{Type: raftpb.MsgHeartbeatResp.Enum(), From: new(id), To: new(g.replica), Term: new(g.term)})
	}
	if beat {
		g.step(beatNow())
	}
}

// refuseSnapshot intercepts a snapshot that raft wants to send (RULES 19): the peer lacks entries that are no longer in
// the log. It has to be replaced under a new id.
func (g *Group) refuseSnapshot(peer uint64) {
	g.metrics.snapshots.Inc()
	if _, known := g.snapshots[peer]; !known {
		g.log.Error("a replica is behind the start of the log and has to be replaced", "peer", peer, "peer_broker", g.members.broker(peer))
	}
	g.snapshots[peer] = g.env.Now()
}

// retrySnapshots frees peers that raft believes to be installing a snapshot: nothing else ever does, and one that
// has caught up by other means would stay stuck. At most each 10 s a peer.
func (g *Group) retrySnapshots(now time.Time) {
	if len(g.snapshots) == 0 || g.role != RoleLeader {
		return
	}
	var stuck []uint64
	g.rn.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		at, refused := g.snapshots[id]
		switch {
		case !refused:
		case p.State == tracker.StateReplicate:
			delete(g.snapshots, id)
		case p.State == tracker.StateSnapshot && now.Sub(at) >= snapshotRetry:
			stuck = append(stuck, id)
		}
	})
	for _, id := range stuck {
		g.rn.ReportSnapshot(id, raft.SnapshotFailure)
	}
}
