package admin

import (
	"context"
	"slices"
	"time"
)

// settling are the pauses after which ClusterStatus looks again at partitions of which nothing is known to be wrong and that are not whole all the
// same. A leadership that has just moved is so until the other replicas have answered the new leader once, which takes them a
// commit to disk: in a topic's first seconds, when its leaders go where they belong, an operator would be told of trouble that is none.
var settling = []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond}

// settle looks again at such partitions, until there are none or the pauses are over. What lasts longer is told.
func (s *Server) settle(ctx context.Context, views []*view) {
	for _, pause := range settling {
		views = slices.DeleteFunc(slices.Clone(views), func(v *view) bool { return !v.settles(s.cluster.Alive) })
		if len(views) == 0 {
			return
		}
		wait, cancel := s.within(ctx, pause)
		<-wait.Done()
		cancel()
		if ctx.Err() != nil {
			return
		}
		for _, v := range views {
			v.leader, v.term, v.led = s.cluster.Leader(v.place.Group)
			v.status = nil
		}
		s.ask(ctx, views, false)
	}
}

// settles tells whether a partition is not whole, while all that hold it live and tell of no trouble: it may just be changing its leader.
func (v *view) settles(alive func(int32) bool) bool {
	whole := v.led && v.status != nil
	for _, r := range v.place.Replicas {
		if r.Learner || !alive(r.Broker) || v.troubles[r.Broker] != "" || v.unanswered[r.Broker] != "" {
			return false
		}
		whole = whole && v.inSync(r, alive)
	}
	return !whole
}
