package client

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// pollMin and pollMax pace the search for a leader, and the sending again that goes with it. The pause is a pollShare-th of the
	// search so far, so that what it adds to an outage is in proportion to it. After pollLong it grows on, up to pollSlow, so that
	// many clients whose leader is gone for long cost the other brokers little.
	pollMin   = 10 * time.Millisecond
	pollMax   = 100 * time.Millisecond
	pollShare = 5
	pollLong  = 10 * time.Second
	pollSlow  = time.Second
	// pollIdle is how old metadata may get when nothing goes wrong.
	pollIdle = time.Minute
	// askMin is how long the first broker asked has; each one that fails in a row doubles it up to askMax.
	askMin = 500 * time.Millisecond
	askMax = 5 * time.Second
	// shunFor keeps a broker that did not answer at the end of the list.
	shunFor = 2 * time.Second
)

// metadataUser is who needs to know of leaders.
type metadataUser interface {
	// metadataChanged is called after each refresh, without locks held. It must not block.
	metadataChanged()
	// wantsLeader tells whether something waits for a leader to appear. It must not block.
	wantsLeader() bool
}

// refresher asks for metadata: one request at a time for everybody, at once when asked to, in quick polls while a
// leader is looked for, now and then otherwise. It asks the brokers in turn, because one that is cut off from the others
// would go on telling what it last knew.
type refresher struct {
	meta  *metadata
	conns *conns
	hook  func(topic string, partition, from, to int32)
	log   *slog.Logger
	poke  chan struct{}
	ended chan struct{} // closed when run has ended
	reach *reach

	mu    sync.Mutex
	users map[metadataUser]struct{}
	turn  int
	fails int
	shun  map[string]time.Time
}

func newRefresher(m *metadata, c *conns, cfg config) *refresher {
	return &refresher{
		meta: m, conns: c, hook: cfg.leaderHook, log: cfg.log,
		poke:  make(chan struct{}, 1),
		ended: make(chan struct{}),
		reach: &reach{failFast: cfg.failFast},
		users: make(map[metadataUser]struct{}),
		shun:  make(map[string]time.Time),
	}
}

func (r *refresher) add(u metadataUser) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users[u] = struct{}{}
}

func (r *refresher) remove(u metadataUser) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.users, u)
}

func (r *refresher) snapshot() []metadataUser {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]metadataUser, 0, len(r.users))
	for u := range r.users {
		out = append(out, u)
	}
	return out
}

// trigger asks for a refresh soon. It never blocks.
func (r *refresher) trigger() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// run is the refresher's goroutine.
func (r *refresher) run(ctx context.Context) {
	defer close(r.ended)
	var since time.Time // of the search for a leader; zero if none is on
	timer := time.NewTimer(pollIdle)
	defer timer.Stop()
	for {
		if since.IsZero() {
			timer.Reset(pollIdle)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			case <-r.poke:
			}
		}
		if r.refresh(ctx) != nil && ctx.Err() != nil {
			return
		}
		wanting := r.meta.wanting()
		for _, u := range r.snapshot() {
			u.metadataChanged()
			wanting = u.wantsLeader() || wanting
		}
		r.callHook()
		// Pokes come in bursts; this pause makes one refresh of a burst.
		pause := pollMin
		switch {
		case !wanting:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		default:
			pause = searchPause(time.Since(since))
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// searchPause is how long to wait after a search of so long, give or take a tenth: one failure sets many clients searching.
func searchPause(search time.Duration) time.Duration {
	pause := min(max(search/pollShare, pollMin), pollMax)
	if search > pollLong {
		pause = min(max(search/100, pollMax), pollSlow)
	}
	return pause - pause/10 + rand.N(pause/5)
}

func (r *refresher) callHook() {
	for _, c := range r.meta.takeChanges() {
		r.log.Info("partition has another leader", "component", "client", "topic", c.topic, "partition", c.partition,
			"from", c.from, "to", c.to)
		if r.hook != nil {
			r.hook(c.topic, c.partition, c.from, c.to)
		}
	}
}

// refresh asks one broker after the other until one has answered.
func (r *refresher) refresh(ctx context.Context) error {
	names := r.meta.names()
	var last error
	for _, addr := range r.order(time.Now()) {
		resp, err := r.ask(ctx, addr, &runnelv1.MetadataRequest{Topics: names, NoTopics: len(names) == 0})
		if err == nil {
			if e := r.meta.merge(addr, names, resp); e != nil {
				err = e
			}
		}
		r.note(addr, err)
		if err == nil {
			return nil
		}
		last = err
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.log.Debug("no metadata from a broker", "component", "client", "broker", addr, "error", err)
	}
	r.meta.announce() // for resolve, which may have had enough
	r.mu.Lock()
	first := r.fails <= len(r.shun)
	r.mu.Unlock()
	if first { // once an outage
		r.log.Warn("no broker gives metadata, trying again", "component", "client", "error", last)
	}
	return last
}

func (r *refresher) ask(ctx context.Context, addr string, req *runnelv1.MetadataRequest) (*runnelv1.MetadataResponse, error) {
	cc, err := r.conns.get(addr)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	patience := min(askMin<<min(r.fails, 8), askMax)
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return runnelv1.NewBrokerClient(cc).Metadata(ctx, req)
}

// order lists whom to ask: the next in turn first, those that failed lately last.
func (r *refresher) order(now time.Time) []string {
	all := r.meta.endpoints()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn++
	good, bad := make([]string, 0, len(all)), []string(nil)
	for i := range all {
		a := all[(i+r.turn)%len(all)]
		if now.Before(r.shun[a]) {
			bad = append(bad, a)
		} else {
			good = append(good, a)
		}
	}
	return append(good, bad...)
}

// avoid puts a broker at the end of the list for a while.
func (r *refresher) avoid(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shun[addr] = time.Now().Add(shunFor)
}

func (r *refresher) note(addr string, err error) {
	r.reach.note(addr, err, time.Now())
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.fails = 0
		delete(r.shun, addr)
		return
	}
	r.fails++
	r.shun[addr] = time.Now().Add(shunFor)
}

// resolve waits until the topic is known. The error is an *Error: that it does not exist, or ctx's end.
func (r *refresher) resolve(ctx context.Context, topic string) (*topicView, error) {
	if v, ok := r.meta.track(topic); ok {
		return v, nil
	}
	for began := time.Now(); ; {
		changed := r.meta.changed()
		v := r.meta.topic(topic)
		if v.err != nil {
			return nil, v.err
		}
		if e := r.reach.nobody(r.meta.endpoints(), began, time.Now()); e != nil {
			return nil, e
		}
		if len(v.leaders) > 0 {
			return v, nil
		}
		r.trigger()
		select {
		case <-ctx.Done():
			e := noAnswer(ctx, time.Since(began), 0, r.reach.reason())
			e.Kind = runnelv1.ErrorKind_ERROR_KIND_RETRIABLE // asking has no effect
			return nil, e
		case <-r.ended:
			return nil, errClosedCall()
		case <-changed:
		}
	}
}
