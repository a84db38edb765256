package catchup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// While files travelled for longer than this, the log has grown by what is worth shipping as well.
	freshFor = 10 * time.Second
	// maxRounds bounds the manifests of one Run: a source that is written to faster than it is shipped is never caught up with so.
	maxRounds = 10
	// How often a file may arrive damaged before Run gives up.
	maxDamaged = 3
	// How often in a row a shipment may be over before a single file of it was received.
	maxOver = 3
	// closeWithin bounds the call that ends a shipment; the source ends it by itself otherwise.
	closeWithin = 2 * time.Second
)

// Caller calls another broker. rpc/peer has one with connections of its own.
type Caller interface {
	// Call asks a broker and gives its answer. Its errors are *runnelv1.Error.
	Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error)
}

// ClientConfig says how to receive. Env and Caller are required.
type ClientConfig struct {
	Env     *env.Env
	Caller  Caller
	Limiter *Limiter // nil = no limit
	Log     *slog.Logger
}

// Client receives shipments. Safe for concurrent use, each Run with an Installer of its own.
type Client struct {
	c        ClientConfig
	patience int // see Patient
}

// NewClient makes a client.
func NewClient(c ClientConfig) *Client {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("component", "catchup")
	return &Client{c: c}
}

// Progress is how far a transfer is.
type Progress struct {
	Done, Total int64  // bytes; Total grows when the source does
	Index       uint64 // up to which the newest manifest goes
}

// Run receives a group's log from a broker and installs it: after nil the replica exists, holding everything up to index. After
// an error the installer is as good as before and Run may be called again with it, for this broker or another, as often as
// the caller likes, unless the error is raftlog.ErrClosed: then the installer has ended. errors.As tells a *raftlog.DamagedError, which is
// no use to try again at this broker unless it says Transit; after ErrStalled another broker is the better one to ask. progress may be nil; it is called on this goroutine after each piece.
func (c *Client) Run(ctx context.Context, in *raftlog.Installer, broker int32, group uint64, progress func(Progress)) (index uint64, err error) {
	t := &transfer{c: &c.c, patience: c.patience, in: in, broker: broker, group: group, progress: progress}
	defer func() { t.end(err == nil) }()
	if err := t.receive(ctx); err != nil {
		return 0, fmt.Errorf("catch up from broker %d: %w", broker, err)
	}
	if err := in.Finish(); err != nil {
		return 0, err
	}
	return t.m.Index, nil
}

// receive gets all of the newest manifest.
func (t *transfer) receive(ctx context.Context) error {
	over := 0 // shipments in a row that brought no whole file
	for round := 1; ; round++ {
		begun, had := t.c.Env.Now(), t.whole
		if err := t.begin(ctx); err != nil {
			return err
		}
		err := t.fetchFiles(ctx)
		if err == nil && round < maxRounds && t.c.Env.Now().Sub(begun) >= freshFor {
			t.end(false)
			continue
		}
		if err == nil {
			err = t.fetchTail(ctx)
		}
		if t.whole > had {
			over = 0
		}
		if over++; err == nil || over >= maxOver || !isOver(err) || ctx.Err() != nil {
			return err
		}
		t.c.Log.Info("a shipment is over and another one begins", "group", t.group, "broker", t.broker, "error", err)
		t.end(false)
	}
}

// isOver tells whether a new manifest of the same source may help.
func isOver(err error) bool {
	return runnelv1.AsError(err).GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE
}

// transfer is one Run.
type transfer struct {
	c        *ClientConfig
	in       *raftlog.Installer
	broker   int32
	group    uint64
	progress func(Progress)
	patience int

	open bool // the shipment is
	id   uint64
	rate int64 // bytes a second of the source's limiter, as it told; 0 = none, or not told
	m    *raftlog.Manifest
	tail int64 // bytes of entries received

	whole int // files received
}

// begin gets a manifest and its checkpoint.
func (t *transfer) begin(ctx context.Context) error {
	body, err := t.call(ctx, methodManifest, manifestRequest{Group: t.group})
	if err != nil {
		return err
	}
	var a manifestAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return fmt.Errorf("the manifest cannot be read: %w", err)
	}
	t.open, t.id, t.rate, t.m, t.tail = true, a.Shipment, a.Rate, &a.Manifest, 0
	if n := t.m.CheckpointBytes; n > raftlog.MaxCheckpointBytes {
		return fmt.Errorf("the manifest says that its checkpoint has %d bytes, above %d", n, raftlog.MaxCheckpointBytes)
	}
	for int64(len(t.m.Checkpoint)) < t.m.CheckpointBytes {
		p, err := t.call(ctx, methodRead, readRequest{Shipment: t.id, File: checkpointFile, Offset: int64(len(t.m.Checkpoint)), Max: maxChunk})
		if err != nil {
			return err
		}
		if len(p) == 0 {
			return errors.New("the checkpoint is shorter than the manifest says")
		}
		if int64(len(p)) > t.m.CheckpointBytes-int64(len(t.m.Checkpoint)) {
			return errors.New("the checkpoint is longer than the manifest says")
		}
		t.m.Checkpoint = append(t.m.Checkpoint, p...)
	}
	return t.in.Begin(t.m)
}

// end closes the shipment; the source would do so by itself after a while.
func (t *transfer) end(installed bool) {
	if !t.open {
		return
	}
	t.open = false
	ctx, cancel := context.WithCancel(context.Background()) // the caller's may be over
	defer cancel()
	timer := t.c.Env.AfterFunc(closeWithin, cancel)
	defer timer.Stop()
	if _, err := t.call(ctx, methodClose, closeRequest{Shipment: t.id, Installed: installed}); err != nil {
		t.c.Log.Debug("closing a shipment", "broker", t.broker, "group", t.group, "error", err)
	}
}

func (t *transfer) report() {
	if t.progress == nil {
		return
	}
	p := Progress{Done: t.m.CheckpointBytes + t.tail, Total: t.m.Bytes(), Index: t.m.Index}
	for i := range t.m.Files {
		have, _ := t.in.Have(i)
		p.Done += have
	}
	p.Done = min(p.Done, p.Total)
	t.progress(p)
}

func (t *transfer) fetchFiles(ctx context.Context) error {
	t.report()
	for i := range t.m.Files {
		damaged := 0
		for {
			err := t.fetchFile(ctx, i)
			if err == nil {
				break
			}
			var d *raftlog.DamagedError
			if damaged++; !errors.As(err, &d) || damaged == maxDamaged {
				return err
			}
			if !d.Transit {
				// The hash was right, so it seems to be the source's. If that finds nothing, it came about here.
				cerr := t.check(ctx, i)
				if errors.Is(cerr, ErrStalled) {
					return errors.Join(err, cerr)
				}
				if cerr != nil {
					t.c.Log.Error("a file is damaged at its source", "group", t.group, "broker", t.broker, "error", err, "source_says", cerr)
					return err
				}
			}
			t.c.Log.Warn("receives a file again", "group", t.group, "broker", t.broker, "error", err)
		}
	}
	return nil
}

// fetchFile receives what lacks of one file and has it verified.
func (t *transfer) fetchFile(ctx context.Context, i int) error {
	for {
		have, done := t.in.Have(i)
		if done {
			return nil // each of its entries was checked
		}
		if have == t.m.Files[i].Bytes {
			break
		}
		n := int(min(maxChunk, t.m.Files[i].Bytes-have))
		if err := t.c.Limiter.Wait(ctx, n); err != nil {
			return err
		}
		p, err := t.call(ctx, methodRead, readRequest{Shipment: t.id, File: i, Offset: have, Max: n})
		if err != nil {
			return err
		}
		if len(p) == 0 || len(p) > n {
			return fmt.Errorf("asked for %d bytes, got %d", n, len(p))
		}
		if err := t.in.WriteFile(i, have, p); err != nil {
			return err
		}
		t.report()
	}
	sum, err := t.sum(ctx, i)
	if err != nil {
		return err
	}
	if err := t.in.FinishFile(i, sum); err != nil {
		return err
	}
	t.whole++
	return nil
}

// sum asks for the hash over a whole file. The source reads for it what it has not read for this shipment, a piece a call.
func (t *transfer) sum(ctx context.Context, i int) (sum [raftlog.SumBytes]byte, err error) {
	for left := t.m.Files[i].Bytes/maxChunk + 2; left > 0; left-- {
		body, err := t.call(ctx, methodSum, readRequest{Shipment: t.id, File: i, Max: maxChunk})
		switch {
		case err != nil:
			return sum, err
		case len(body) == len(sum):
			return [raftlog.SumBytes]byte(body), nil
		case len(body) > 0:
			return sum, fmt.Errorf("a hash of %d bytes", len(body))
		}
	}
	return sum, errors.New("the hash of a file comes to no end")
}

// check has the source check a file, a piece a call. Its error is what the source found, or why nobody knows.
func (t *transfer) check(ctx context.Context, i int) error {
	for from := uint64(0); ; {
		body, err := t.call(ctx, methodCheck, readRequest{Shipment: t.id, File: i, Offset: int64(from), Max: maxChunk})
		if err != nil || len(body) == 0 {
			return err
		}
		next, _, err := decodeTail(body)
		if err != nil {
			return err
		}
		if next <= from || next > t.m.Files[i].Last {
			return fmt.Errorf("the check of entries up to %d goes on from %d after %d", t.m.Files[i].Last, next, from)
		}
		from = next
	}
}

func (t *transfer) fetchTail(ctx context.Context) error {
	for from := t.in.TailNext(); from <= t.m.Index; {
		body, err := t.call(ctx, methodTail, tailRequest{Shipment: t.id, From: from, Max: maxTail})
		if err != nil {
			return err
		}
		next, p, err := decodeTail(body)
		if err != nil {
			return err
		}
		if next <= from {
			return fmt.Errorf("the tail does not go on from entry %d", from)
		}
		if err := t.c.Limiter.Wait(ctx, len(p)); err != nil {
			return err
		}
		if err := t.in.WriteTail(p); err != nil {
			return err
		}
		t.tail += int64(len(p))
		t.report()
		if from = t.in.TailNext(); from != next {
			return fmt.Errorf("the tail goes on from entry %d, its source says %d", from, next)
		}
	}
	return nil
}
