package catchup

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Source is a replica that others can be installed from; *multiraft.Group is one.
type Source interface {
	// Ship takes a view of what the replica has applied.
	Ship(ctx context.Context) (*raftlog.Shipment, error)
}

// ServerConfig says what to serve. Env and Source are required.
type ServerConfig struct {
	Env *env.Env
	// Source gives the replica of a group on this broker, nil if there is none that may be a source.
	Source  func(group uint64) Source
	Limiter *Limiter // nil = no limit
	// Unlimited tells of a group that its log does not wait for Limiter, nor counts there; nil = none.
	Unlimited func(group uint64) bool
	Log       *slog.Logger

	MaxShipments int           // at once; default 8. Each holds two descriptors.
	Idle         time.Duration // after which one that nobody reads from is closed; default a minute
}

// Server gives out shipments of this broker's replicas.
type Server struct {
	c ServerConfig

	mu        sync.Mutex
	shipments map[uint64]*shipment
	taking    int // manifests under way
	stopped   bool
}

// shipment is one that is open. Guarded by Server.mu.
type shipment struct {
	*raftlog.Shipment
	id    uint64
	from  int32
	busy  int       // calls under way
	used  time.Time // the last one's end
	timer env.Timer
	// end is set once the receiver has closed it. It takes no more calls then. If some are under way, the last one closes it: that would wait
	// for them, and one that hangs with its disk must go on to count.
	end func() error
}

// NewServer makes a server. Stop closes what it has open.
func NewServer(c ServerConfig) *Server {
	if c.MaxShipments <= 0 {
		c.MaxShipments = 8
	}
	if c.Idle <= 0 {
		c.Idle = time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("component", "catchup")
	return &Server{c: c, shipments: map[uint64]*shipment{}}
}

// Stop closes all shipments and answers nothing more. The logs may be closed after it.
func (s *Server) Stop() {
	s.mu.Lock()
	s.stopped = true
	var open []*shipment
	for id := range s.shipments {
		open = append(open, s.removeLocked(id))
	}
	s.mu.Unlock()
	for _, sh := range open {
		s.closed(sh, sh.Close())
	}
}

// Serve answers a call of another broker of the cluster; from is its id. Every error is for it: retriable ones (a
// shipment that is over, too many of them) say that a new manifest may work.
func (s *Server) Serve(ctx context.Context, from int32, method string, body []byte) ([]byte, error) {
	if from <= 0 {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "only a broker of the cluster can be shipped a log")
	}
	switch method {
	case methodManifest:
		var r manifestRequest
		if err := decode(body, &r); err != nil {
			return nil, err
		}
		return s.manifest(ctx, from, r)
	case methodRead, methodSum, methodCheck:
		var r readRequest
		if err := decode(body, &r); err != nil {
			return nil, err
		}
		return s.using(r.Shipment, from, func(sh *shipment) ([]byte, error) {
			switch method {
			case methodSum:
				return s.sum(ctx, sh, r)
			case methodCheck:
				return s.check(ctx, sh, r)
			}
			return s.read(ctx, sh, r)
		})
	case methodTail:
		var r tailRequest
		if err := decode(body, &r); err != nil {
			return nil, err
		}
		return s.using(r.Shipment, from, func(sh *shipment) ([]byte, error) { return s.tail(ctx, sh, r) })
	case methodClose:
		var r closeRequest
		if err := decode(body, &r); err != nil {
			return nil, err
		}
		return nil, s.close(r, from)
	}
	return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "no such method: %s", method)
}

func (s *Server) manifest(ctx context.Context, from int32, r manifestRequest) ([]byte, error) {
	src := s.c.Source(r.Group)
	if src == nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "this broker has no replica of group %d that could be a source; ask another", r.Group)
	}
	s.mu.Lock()
	switch {
	case s.stopped:
		s.mu.Unlock()
		return nil, errStopping()
	case len(s.shipments)+s.taking >= s.c.MaxShipments:
		n := len(s.shipments)
		s.mu.Unlock()
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, "this broker already ships %d logs; try again later, or another source", n)
	}
	s.taking++
	s.mu.Unlock()
	taken, err := src.Ship(ctx)
	s.mu.Lock()
	s.taking--
	if err != nil {
		s.mu.Unlock()
		return nil, answer(err)
	}
	if s.stopped {
		s.mu.Unlock()
		return nil, errors.Join(errStopping(), taken.Close())
	}
	sh := &shipment{Shipment: taken, from: from, id: s.c.Env.Uint64() | 1, used: s.c.Env.Now()}
	for s.shipments[sh.id] != nil {
		sh.id += 2
	}
	s.shipments[sh.id] = sh
	sh.timer = s.c.Env.AfterFunc(s.c.Idle, func() { s.expire(sh.id) })
	s.mu.Unlock()
	m := taken.Manifest()
	s.c.Log.Info("ships a log", "group", m.Group, "replica", m.Replica, "to_broker", from, "index", m.Index, "files", len(m.Files), "bytes", m.Bytes())
	return encode(manifestAnswer{Shipment: sh.id, Manifest: *m, Rate: s.limiter(sh).Rate()})
}

func errStopping() error {
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_STOPPING, "this broker is stopping")
}

// using runs a call on an open shipment, which does not expire meanwhile.
func (s *Server) using(id uint64, from int32, f func(*shipment) ([]byte, error)) ([]byte, error) {
	s.mu.Lock()
	sh := s.shipments[id]
	if sh == nil || sh.from != from || sh.end != nil {
		s.mu.Unlock()
		return nil, answer(raftlog.ErrShipmentOver)
	}
	sh.busy++
	s.mu.Unlock()
	out, err := f(sh)
	s.mu.Lock()
	sh.busy--
	sh.used = s.c.Env.Now()
	last := sh.busy == 0 && sh.end != nil && s.shipments[id] == sh // Stop may have closed it
	if last {
		s.removeLocked(id)
	}
	s.mu.Unlock()
	if last {
		s.closed(sh, sh.end())
	}
	if err != nil {
		return nil, answer(err)
	}
	return out, nil
}

// limiter is what the bytes of a shipment wait for.
func (s *Server) limiter(sh *shipment) *Limiter {
	if s.c.Unlimited != nil && s.c.Unlimited(sh.Manifest().Group) {
		return nil
	}
	return s.c.Limiter
}

func (s *Server) read(ctx context.Context, sh *shipment, r readRequest) ([]byte, error) {
	n := min(max(r.Max, 1), maxChunk)
	if err := s.limiter(sh).Wait(ctx, n); err != nil {
		return nil, err
	}
	if r.File == checkpointFile {
		cp := sh.Manifest().Checkpoint
		if r.Offset < 0 || r.Offset > int64(len(cp)) {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "there is no byte %d of the checkpoint", r.Offset)
		}
		return cp[r.Offset:min(r.Offset+int64(n), int64(len(cp)))], nil
	}
	buf := make([]byte, n)
	n, err := sh.ReadFile(r.File, r.Offset, buf)
	return buf[:n], err
}

// sum reads what the hash still lacks piece by piece, each paid for before the next, so that nobody waits for the whole.
func (s *Server) sum(ctx context.Context, sh *shipment, r readRequest) ([]byte, error) {
	for {
		sum, rest, err := sh.Sum(r.File, maxChunk)
		if err != nil || rest == 0 {
			return sum[:], err
		}
		if err := s.limiter(sh).Wait(ctx, int(min(rest, maxChunk))); err != nil {
			return nil, err
		}
		if r.Max > 0 {
			return nil, nil
		}
	}
}

// check is the same for the entries of a file.
func (s *Server) check(ctx context.Context, sh *shipment, r readRequest) ([]byte, error) {
	for from := uint64(max(r.Offset, 0)); ; {
		next, err := sh.Check(r.File, from, maxChunk)
		if err != nil || next > sh.Manifest().Files[r.File].Last {
			return nil, err
		}
		from = next
		if err := s.limiter(sh).Wait(ctx, maxChunk); err != nil {
			return nil, err
		}
		if r.Max > 0 {
			return encodeTail(from, make([]byte, 8)), nil
		}
	}
}

func (s *Server) tail(ctx context.Context, sh *shipment, r tailRequest) ([]byte, error) {
	out, next, err := sh.Tail(r.From, min(max(r.Max, 1), maxTail), make([]byte, 8, 64<<10))
	if err != nil {
		return nil, err
	}
	if err := s.limiter(sh).Wait(ctx, len(out)); err != nil {
		return nil, err
	}
	return encodeTail(next, out), nil
}

func (s *Server) close(r closeRequest, from int32) error {
	s.mu.Lock()
	sh := s.shipments[r.Shipment]
	if sh == nil || sh.from != from || sh.end != nil {
		s.mu.Unlock()
		return nil
	}
	sh.end = sh.Close
	if r.Installed {
		sh.end = sh.Installed
	}
	if sh.busy > 0 {
		s.mu.Unlock()
		return nil
	}
	s.removeLocked(r.Shipment)
	s.mu.Unlock()
	s.closed(sh, sh.end())
	return nil
}

func (s *Server) removeLocked(id uint64) *shipment {
	sh := s.shipments[id]
	sh.timer.Stop()
	delete(s.shipments, id)
	return sh
}

func (s *Server) closed(sh *shipment, err error) {
	if err != nil {
		s.c.Log.Warn("closing a shipment failed", "group", sh.Manifest().Group, "error", err)
	}
}

// expire closes a shipment that nobody has read from for a while: its receiver is gone. It runs on a timer and closes a few
// descriptors, no more.
func (s *Server) expire(id uint64) {
	s.mu.Lock()
	sh := s.shipments[id]
	if sh == nil {
		s.mu.Unlock()
		return
	}
	idle := s.c.Env.Now().Sub(sh.used)
	if sh.busy > 0 || idle < s.c.Idle {
		wait := s.c.Idle
		if sh.busy == 0 {
			wait -= idle
		}
		sh.timer.Reset(wait)
		s.mu.Unlock()
		return
	}
	s.removeLocked(id)
	s.mu.Unlock()
	s.c.Log.Warn("closes a shipment that nobody reads from", "group", sh.Manifest().Group, "to_broker", sh.from)
	s.closed(sh, sh.Close())
}
