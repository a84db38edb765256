package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/runnel-io/runnel/partition/multiraft"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 200 * time.Millisecond
	// A connection that lived shorter than this counts as a failed try.
	livedLongEnough = time.Second
	// atOnceEvery bounds how often a lost connection is tried again without a pause, so that a peer which accepts and drops at once is
	// not dialled in a busy loop.
	atOnceEvery = time.Second
	// logEvery bounds how often a link says that it still cannot connect, or that it is refused.
	logEvery = time.Minute

	laneKey = "runnel-lane" // stream metadata: the lane's number
)

// link sends one lane to one broker over one connection at a time. One goroutine runs it.
type link struct {
	p       *Peers
	to      int32
	lane    multiraft.Lane
	q       *queue
	log     *slog.Logger
	metrics laneMetrics
	// unsendable bounds how often it is said that a packet cannot be sent.
	unsendable *quiet
	// paused: the last dial led to no connection, and the link waits before the next. seen, with one slot, ends the pause.
	paused atomic.Bool
	seen   chan struct{}

	// Of the link's goroutine:
	enc    encoder
	told   time.Time // when the last failure was logged
	failed int       // tries in a row that failed
	atOnce time.Time // when a lost connection was last tried again without a pause
}

func (p *Peers) newLink(to int32, lane multiraft.Lane) *link {
	maxBytes := p.cfg.ControlQueueBytes
	if lane == multiraft.LaneAppend {
		maxBytes = p.cfg.AppendQueueBytes
	}
	return &link{
		p: p, to: to, lane: lane, q: newQueue(maxBytes), metrics: p.metrics.out(to, lane), unsendable: newQuiet(), seen: make(chan struct{}, 1),
		log: p.log.With("peer", to, "lane", laneName(lane)),
	}
}

// send queues a packet, in parts if it is larger than a frame.
func (l *link) send(pk *multiraft.Packet) bool {
	if err := check(pk); err != nil {
		// Raft sends it again at each of its ticks.
		if l.unsendable.allow(l.to) {
			l.log.Error("a packet cannot be sent", "error", err)
		}
		l.metrics.drops.Inc()
		return false
	}
	one := queued{pk, costOf(pk)}
	var ok bool
	if (cost{}).fits(one.c) {
		ok = l.q.put(one)
	} else {
		var parts []queued
		for _, part := range split(pk) {
			parts = append(parts, queued{part, costOf(part)})
		}
		ok = l.q.put(parts...)
	}
	if !ok {
		l.metrics.drops.Inc()
	}
	return ok
}

// run connects and sends until ctx ends or the queue is drained.
func (l *link) run(ctx context.Context) {
dialling:
	for ctx.Err() == nil {
		addr, ok := l.p.cfg.Resolve(l.to)
		if !ok { // not known yet, or not any more: try again when somebody sends
			l.drop()
			if l.q.isDraining() || !l.idle(ctx) {
				break
			}
			continue
		}
		c, err := l.p.dial(ctx, addr, l.to)
		if err == nil {
			started := time.Now()
			l.metrics.connects.Inc()
			l.metrics.connected.Set(1)
			level := slog.LevelInfo
			if l.failed > 2 { // it comes and goes; failure says so once a minute
				level = slog.LevelDebug
			}
			l.log.Log(ctx, level, "connected", "address", addr, "peer_version", c.other.Version, "protocol", c.other.Protocol)
			l.p.isUp(l.to)
			l.p.cfg.Reached(l.to)
			err = l.pump(ctx, c)
			c.close()
			l.metrics.connected.Set(0)
			if time.Since(started) >= livedLongEnough {
				l.failed = 0
				l.told = time.Time{}
			}
		}
		if l.q.isDraining() || ctx.Err() != nil {
			break
		}
		l.failure(addr, err)
		switch {
		case c != nil && time.Since(l.atOnce) >= atOnceEvery:
			// The first retry is at once, and what is sent meanwhile waits for it; what the lost connection held is gone.
			l.atOnce = time.Now()
			l.drop()
			l.q.setOpen(true)
		default:
			l.paused.Store(c == nil)
			l.drop()
			if !l.pause(ctx) {
				break dialling
			}
		}
		l.failed++
	}
	l.drop()
}

// failure logs and reports why there is no connection.
func (l *link) failure(addr string, err error) {
	if errors.Is(err, syscall.ECONNREFUSED) {
		l.p.cfg.Refused(l.to)
	}
	if time.Since(l.told) < logEvery {
		return
	}
	l.told = time.Now()
	var no *refusal
	switch {
	case errors.As(err, &no) && no.joining:
		l.log.Info("the broker has not finished joining, trying on", "address", addr)
		return
	case no != nil:
		l.log.Error("the broker refuses the connection, or is not the expected one", "address", addr, "error", err)
		return
	}
	l.log.Warn("not connected, trying on", "address", addr, "error", err)
}

// drop empties and shuts the queue.
func (l *link) drop() {
	if n := l.q.setOpen(false); n > 0 {
		l.metrics.drops.Add(float64(n))
	}
}

// idle waits until somebody wants to send.
func (l *link) idle(ctx context.Context) bool {
	select {
	case <-l.q.poke:
		// Somebody who sends in a loop must not make a loop here.
		l.failed = max(l.failed, 1)
		return l.pause(ctx)
	case <-ctx.Done():
		return false
	}
}

// up has a link that waits after a dial that nobody answered dial now: the broker was met elsewhere. Its lanes fail and come back
// together, so a lane that still waited would drop what the others' traffic brings about, such as the first append after an
// election. It is called from other goroutines.
func (l *link) up() {
	if !l.paused.CompareAndSwap(true, false) {
		return
	}
	l.q.setOpen(true)
	select {
	case l.seen <- struct{}{}:
	default:
	}
}

// pause waits 50 ms, doubling up to 200 ms, plus up to a quarter at random, or until up. It opens the queue at the end: what is
// sent while the next try is under way waits for its outcome. False if the link shall end.
func (l *link) pause(ctx context.Context) bool {
	defer l.paused.Store(false)
	d := min(minBackoff<<min(max(l.failed-1, 0), 8), maxBackoff)
	d += rand.N(d/4 + 1)
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			l.q.setOpen(true)
			return true
		case <-l.seen:
			l.q.setOpen(true)
			return true
		case <-ctx.Done():
			return false
		case <-l.q.poke:
			if l.q.isDraining() {
				return false
			}
		}
	}
}

// pump sends what is queued over one connection until it is lost (an error), or the queue is drained (nil).
func (l *link) pump(ctx context.Context, c *conn) error {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, laneKey, strconv.Itoa(int(l.lane))))
	defer cancel()
	desc := &grpc.StreamDesc{StreamName: "Lane", ClientStreams: true, ServerStreams: true}
	stream, err := c.cc.NewStream(ctx, desc, runnelv1.Peer_Lane_FullMethodName)
	if err != nil {
		return fmt.Errorf("peer: open lane: %w", plain(err))
	}
	// Receiving only tells that the stream ended, and why, also while nothing is sent: this release's other side never sends. A later one's may,
	// and is not to lose the lane for it in the middle of an upgrade, so that what it sends is let go unread, whatever form it has. One message is
	// in memory at a time, of at most maxMessage bytes.
	ended := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			err = stream.RecvMsg(unread{})
		}
		cancel()
		ended <- err
	}()
	err = l.sendAll(ctx, stream)
	if err == nil { // drained: wait until the other side has read to the end
		err = stream.CloseSend()
	} else {
		cancel()
	}
	why := <-ended
	if errors.Is(why, io.EOF) {
		return err
	}
	return fmt.Errorf("peer: lane lost: %w", plain(why))
}

// sendAll writes batches of packets until the queue is drained (nil) or the stream fails.
func (l *link) sendAll(ctx context.Context, stream grpc.ClientStream) error {
	for {
		batch := l.q.take(ctx)
		if len(batch) == 0 {
			return ctx.Err()
		}
		for len(batch) > 0 {
			n, err := l.sendFrame(stream, batch)
			if err != nil {
				return err
			}
			batch = batch[n:]
		}
	}
}

// sendFrame writes as much of batch as makes one good frame and tells how many packets that was.
func (l *link) sendFrame(stream grpc.ClientStream, batch []queued) (int, error) {
	var c cost
	var packets []*multiraft.Packet
	for _, q := range batch {
		if len(packets) > 0 && (c.full() || !c.fits(q.c) || len(packets) == maxPacketsAFrame) {
			break
		}
		c.add(q.c)
		packets = append(packets, q.p)
	}
	f := l.enc.encode(packets)
	size := f.size()
	if err := stream.SendMsg(f); err != nil {
		return 0, err
	}
	l.q.done(len(packets), int64(c.bytes))
	l.metrics.packets.Add(float64(len(packets)))
	l.metrics.bytes.Add(float64(size))
	return len(packets), nil
}
