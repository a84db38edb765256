package controller

import (
	"maps"
	"slices"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	pollIdle  = 5 * time.Second        // between two polls of a broker at rest: each asks it to look at all its replicas
	pollWatch = time.Second            // while something is afoot, and of one with a part in a vigil
	pollBusy  = 200 * time.Millisecond // of one that has a part in a move
	pollSoon  = 10 * time.Millisecond  // of one whose answer is awaited
	// pollLimit bounds one poll. The broker is asked again after it.
	pollLimit = 2 * time.Second
	// sizesEvery is between two polls that ask for sizes; every sizesPer replicas of the cluster make it that much longer again, so
	// that a large one does not spend itself on them.
	sizesEvery = 10 * time.Second
	sizesPer   = 50_000
	// A broker on which installations have failed for failsFor, with none done, gets no more for refusesFor: moves to it are turned
	// back, so the trouble shows no more until the next one.
	failsFor   = 30 * time.Second
	refusesFor = 5 * time.Minute
)

// source is a broker, as one that is asked.
type source struct {
	asking bool
	begun  time.Time // of the newest poll
	soon   bool      // its answer is awaited
	sized  time.Time // when sizes came last

	// What it said last. It stays when the broker is silent: a quarantined replica is one for ever.
	reported    bool
	revision    uint64
	quarantined map[uint64]string
	behind      map[uint64]string // voters of groups that it leads; not kept when it is silent: another leader may still have what they lack
	bytes       map[uint64]int64
	total       int64
	err         string // why the newest poll failed
	full        string // why it refuses records: it leads nothing that others can lead, and gets no new replicas

	// Why it cannot take new replicas: since when installations fail there and none succeeds, the newest reason, and until when that
	// counts.
	failingSince time.Time
	failing      string
	refusesUntil time.Time
}

// failed takes in that an installation on the broker failed, installed that one was done. It tells whether that is news to a plan.
func (b *source) failed(now time.Time, why string) (news bool) {
	if b.failingSince.IsZero() {
		b.failingSince = now
	}
	b.failing = why
	if now.Sub(b.failingSince) < failsFor {
		return false
	}
	news = b.refuses(now) == ""
	b.refusesUntil = now.Add(refusesFor)
	return news
}

func (b *source) installed() { b.failingSince = time.Time{} }

// refuses says why the broker can take no new replica now; "" if it can.
func (b *source) refuses(now time.Time) string {
	if now.Before(b.refusesUntil) {
		return b.failing
	}
	return b.full
}

// wanted is what a poll of a broker asks for.
type wanted struct {
	groups   []uint64
	installs []uint64
	movers   []*mover
}

// poll asks every broker that is heard and due. The messages are small: they name only groups and replicas that move.
func (d *driver) poll(now time.Time, s *placement.State, moves []*mover) {
	d.vigils.judge(now, s, d.hearing, d.cfg.recoverAfter(s))
	want := d.wantedOf(s, moves)
	d.left = false
	afoot := d.afoot()
	for _, id := range s.BrokerIDs() {
		b := d.brokers[id]
		if b == nil {
			b = &source{}
			d.brokers[id] = b
		}
		alive := d.hearing.alive(id)
		if !alive && len(b.behind) > 0 {
			b.behind = nil
			d.planner.quarantined = nil
		}
		if b.asking || !alive {
			continue
		}
		w := want[id]
		pause := pollIdle
		switch {
		case w != nil && b.soon && b.err == "":
			pause = pollSoon
		case w != nil && len(w.movers) > 0:
			pause = pollBusy
		case w != nil || afoot:
			pause = pollWatch
		}
		if at := b.begun.Add(pause); !b.begun.IsZero() && now.Before(at) {
			d.dueAt(at)
			continue
		}
		if d.polls >= maxPolls { // an answer makes room, and the loop pass again
			d.left = true
			continue
		}
		d.pollOne(now, id, b, w)
	}
	for id := range d.brokers {
		if s.Brokers[id] == nil && !d.brokers[id].asking {
			delete(d.brokers, id)
			d.planner.quarantined = nil
		}
	}
}

// afoot tells whether the brokers are asked each second: one came, came back or fell silent, something moves, a leader is not where it
// should be, or a disk is nearly full. At rest they are asked each pollIdle.
func (d *driver) afoot() bool {
	if len(d.movers) > 0 || d.transfers.away || d.transfers.inFlight > 0 || d.hearing.news() {
		return true
	}
	for _, b := range d.brokers {
		if b.full != "" {
			return true
		}
	}
	return false
}

// isFull tells whether a broker refuses records, as it said last.
func (d *driver) isFull(broker int32) bool {
	b := d.brokers[broker]
	return b != nil && b.full != ""
}

// wantedOf lists, by broker, what the moves under way and the vigils need to know. Every broker with a replica is asked for the group, since
// any may lead it.
func (d *driver) wantedOf(s *placement.State, moves []*mover) map[int32]*wanted {
	out := map[int32]*wanted{}
	for _, m := range moves {
		p := m.partition(s)
		if p == nil {
			continue
		}
		asked := map[int32]bool{}
		for _, r := range p.All() {
			w := out[r.Broker]
			if w == nil {
				w = &wanted{}
				out[r.Broker] = w
			}
			if !asked[r.Broker] {
				asked[r.Broker] = true
				w.groups = append(w.groups, p.Group)
				w.movers = append(w.movers, m)
			}
		}
		if p.Move.Phase == placement.PhaseInstalling {
			for _, r := range p.Move.Adds {
				out[r.Broker].installs = append(out[r.Broker].installs, r.ID)
			}
		}
	}
	d.vigils.addWanted(s, out)
	return out
}

func (d *driver) pollOne(now time.Time, id int32, b *source, w *wanted) {
	if w == nil {
		w = &wanted{}
	}
	req := ask.StatusRequest{Groups: w.groups, Installs: w.installs, Sizes: b.sized.IsZero() || now.Sub(b.sized) >= sizesPause(d.desk.State().Replicas)}
	d.seq++
	seq := d.seq
	b.asking, b.soon, b.begun = true, false, now
	d.spawn(&d.polls, func() func() {
		var resp ask.StatusResponse
		body, err := d.call(d.ctx, id, ask.MethodStatus, ask.Encode(req), pollLimit)
		if err == nil {
			var bad error
			resp, bad = ask.Decode[ask.StatusResponse](body)
			err = runnelv1.AsError(bad)
		}
		return func() {
			b.asking = false
			if err != nil {
				d.vigils.failed(d.cfg.Env.Now(), id, w.groups)
				d.pollFailed(id, b, err)
			} else {
				d.reported(id, b, seq, &resp, &req, w)
			}
			d.again = d.again || len(w.movers) > 0 || d.planner.dirty || d.left
		}
	})
}

func sizesPause(replicas int) time.Duration {
	return sizesEvery + sizesEvery*time.Duration(replicas)/sizesPer
}

func (d *driver) pollFailed(id int32, b *source, err *runnelv1.Error) {
	if b.err != err.Error() {
		b.err = err.Error()
		if d.ctx.Err() == nil {
			d.log.Warn("a broker did not tell how its replicas are and is asked again", "broker", id, "error", err)
		}
	}
}

// reported takes in what a broker said.
func (d *driver) reported(id int32, b *source, seq uint64, resp *ask.StatusResponse, req *ask.StatusRequest, w *wanted) {
	now := d.cfg.Env.Now()
	d.hearing.booted(id, resp.Boot)
	b.err, b.revision = "", resp.Revision
	if !b.reported {
		b.reported = true
		d.planner.dirty = true
	}
	if !maps.Equal(b.quarantined, resp.Quarantined) {
		for r, why := range resp.Quarantined {
			if _, known := b.quarantined[r]; !known {
				d.log.Warn("a replica is quarantined", "broker", id, "replica", r, "reason", why)
			}
		}
		b.quarantined = resp.Quarantined
		d.planner.dirty = true
		d.planner.quarantined = nil
		d.quarantined() // for requests, also where nothing is planned by itself
	}
	if !maps.Equal(b.behind, resp.Behind) {
		for r, why := range resp.Behind {
			if _, known := b.behind[r]; !known {
				d.log.Warn("a replica can never catch up and has to be replaced", "leader", id, "replica", r, "reason", why)
			}
		}
		b.behind = resp.Behind
		d.planner.dirty = true
		d.planner.quarantined = nil
	}
	if b.full != resp.Full {
		if b.full == "" {
			d.log.Warn("a broker refuses records: its leaders go to others, and it gets no new replicas", "broker", id, "reason", resp.Full)
		} else if resp.Full == "" {
			d.log.Info("a broker accepts records again", "broker", id)
		}
		b.full = resp.Full
		d.planner.dirty = true
		d.transfers.next = now
	}
	d.vigils.told(now, id, w.groups, resp)
	if req.Sizes {
		b.sized, b.bytes = now, resp.Bytes
		var total int64
		for _, n := range resp.Bytes {
			total += n
		}
		d.planner.resized(total - b.total)
		b.total = total
	}
	for _, m := range w.movers {
		m.saw(now, id, seq, resp)
	}
	for _, r := range req.Installs {
		d.sawInstall(r, seq, resp)
		switch in := resp.Installs[r]; {
		case in.State == ask.InstallDone:
			b.installed()
		case in.Err != "" && !in.Stalled && b.failed(now, in.Err):
			d.planner.dirty = true
			d.log.Warn("a broker cannot take new replicas and gets no more for a while", "broker", id, "reason", in.Err)
		}
	}
}

func (d *driver) sawInstall(replica, seq uint64, resp *ask.StatusResponse) {
	for _, m := range d.movers {
		if slices.Contains(m.adds, replica) {
			m.sawInstall(replica, seq, resp)
			return
		}
	}
}

// quarantined returns all replicas that can never serve again, with their reasons: those that failed, and voters that lack what is
// no longer in the log of their leader (RULES 19). The answer is not changed any more.
func (d *driver) quarantined() map[uint64]string {
	if d.planner.quarantined == nil {
		all := map[uint64]string{}
		for _, b := range d.brokers {
			maps.Copy(all, b.behind)
			maps.Copy(all, b.quarantined)
		}
		d.planner.quarantined = all
		d.quarantine.Store(&all)
	}
	return d.planner.quarantined
}
