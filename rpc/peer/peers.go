package peer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/partition/multiraft"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// flushTimeout is how long Stop lets lanes send what is queued: what a stopping broker says last spares its peers a timeout.
const flushTimeout = 250 * time.Millisecond

// Peers is the running service and all connections to other brokers. All methods are safe for concurrent use.
type Peers struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	codec   codec
	quiet   *quiet

	listener *listener
	server   *grpc.Server

	ctx    context.Context // ends links and calls
	cancel context.CancelFunc
	links  sync.WaitGroup // the goroutines of links
	calls  sync.WaitGroup // Call and CallAddr under way
	serve  sync.WaitGroup // the accept loop
	stop   sync.Once

	mu      sync.RWMutex
	stopped bool
	peers   map[int32]*peerLinks
}

// peerLinks is all that goes out to one broker.
type peerLinks struct {
	lanes [multiraft.NumLanes]*link
	calls *caller
	bulk  *caller // for Bulk; its connection is made when first used
}

// Start begins to serve on c.Listen, which Peers owns from now on, and connects to brokers as they are sent to.
func Start(c Config) (*Peers, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, err
	}
	p := &Peers{cfg: c, log: c.Log, metrics: m, codec: newCodec(), quiet: newQuiet(), peers: map[int32]*peerLinks{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.listener = newListener(c.Listen, c.MaxConns, m.refusedConns.Inc)
	p.server = p.newServer()
	p.serve.Add(1)
	go func() {
		defer p.serve.Done()
		if err := p.server.Serve(p.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) && !errors.Is(err, net.ErrClosed) {
			p.log.Error("the peer listener failed: other brokers cannot connect; restart the broker", "error", err)
		}
	}()
	return p, nil
}

// Send queues a packet for a broker and never blocks. Packets to one broker on one lane arrive in order or not at all.
// False: dropped, since the queue is full or the broker cannot be reached now. The packet and what it points at must not
// change any more.
func (p *Peers) Send(to int32, lane multiraft.Lane, pk *multiraft.Packet) bool {
	l := p.peer(to)
	if l == nil || int(lane) >= multiraft.NumLanes {
		return false
	}
	return l.lanes[lane].send(pk)
}

// peer gives what goes out to a broker, made at first use; nil once stopped.
func (p *Peers) peer(id int32) *peerLinks {
	p.mu.RLock()
	l, stopped := p.peers[id], p.stopped
	p.mu.RUnlock()
	if l != nil || stopped || id <= 0 {
		return l
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.peers[id]; l != nil || p.stopped {
		return l
	}
	l = &peerLinks{calls: p.newCaller(id), bulk: p.newCaller(id)}
	for lane := range l.lanes {
		link := p.newLink(id, multiraft.Lane(lane))
		l.lanes[lane] = link
		link.q.setOpen(true) // before the first put, not only when the goroutine runs
		p.links.Add(1)
		go func() {
			defer p.links.Done()
			link.run(p.ctx)
		}()
	}
	p.peers[id] = l
	return l
}

// isUp has the links to a broker that wait before they dial again do it now.
func (p *Peers) isUp(broker int32) {
	p.mu.RLock()
	l := p.peers[broker]
	p.mu.RUnlock()
	if l == nil {
		return
	}
	for _, lane := range l.lanes {
		lane.up()
	}
}

// enter registers a call; the context it gives also ends when Peers stops.
func (p *Peers) enter(ctx context.Context) (context.Context, func(), *runnelv1.Error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.stopped {
		return nil, nil, errStopping()
	}
	p.calls.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(p.ctx, cancel)
	return ctx, func() {
		unhook()
		cancel()
		p.calls.Done()
	}, nil
}

// Stop sends what is queued for up to 250 ms, lets calls being served end for up to a second, then closes everything and
// waits for it. It is safe to call more than once.
func (p *Peers) Stop() {
	p.stop.Do(p.stopOnce)
}

func (p *Peers) stopOnce() {
	p.mu.Lock()
	p.stopped = true
	peers := p.peers
	p.mu.Unlock()
	for _, l := range peers {
		for _, lane := range l.lanes {
			lane.q.drain()
		}
	}
	flush := time.AfterFunc(flushTimeout, p.cancel)
	p.links.Wait()
	flush.Stop()
	p.cancel()
	p.calls.Wait()
	for _, l := range peers {
		l.calls.close()
		l.bulk.close()
	}

	p.listener.endLanes()
	force := time.AfterFunc(callsTimeout, p.server.Stop)
	p.server.GracefulStop()
	force.Stop()
	p.server.Stop() // waits for one that the timer began
	p.serve.Wait()
}
