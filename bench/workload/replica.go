package workload

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// rereadEvery is the pause before a replica that cannot answer yet is asked again.
const rereadEvery = 20 * time.Millisecond

// readWait is how long a replica that is behind may wait with its answer.
const readWait = 500 * time.Millisecond

// readPatience is how long a replica may give nothing while it is read.
const readPatience = 10 * time.Second

// Brokers are connections to single brokers, by address, to ask each for its own replica. Of one goroutine.
type Brokers struct {
	TLS   *tls.Config // nil: plain text
	conns map[string]*grpc.ClientConn
}

// Close closes them.
func (b *Brokers) Close() {
	for _, c := range b.conns {
		_ = c.Close() // whatever was to be read has been
	}
	b.conns = nil
}

func (b *Brokers) to(address string) (runnelv1.BrokerClient, error) {
	c := b.conns[address]
	if c == nil {
		var err error
		c, err = grpc.NewClient(address, grpc.WithTransportCredentials(Credentials(b.TLS)), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
		if err != nil {
			return nil, err
		}
		if b.conns == nil {
			b.conns = map[string]*grpc.ClientConn{}
		}
		b.conns[address] = c
	}
	return runnelv1.NewBrokerClient(c), nil
}

// piece is what one fetch of a replica gave.
type piece struct {
	raw     []byte
	first   int64 // offset of the first value; the batch may begin before what was asked for
	values  []string
	batches []check.Batch
	next    int64
}

// fetch reads from an offset of one broker's replica, and waits for a while if there is nothing: an empty piece.
func (b *Brokers) fetch(ctx context.Context, address string, s Slot, offset int64, bytes int32, wait time.Duration) (piece, error) {
	c, err := b.to(address)
	if err != nil {
		return piece{}, err
	}
	resp, err := c.FetchOnce(ctx, &runnelv1.FetchOnceRequest{
		Partitions: []*runnelv1.FetchPartition{{Topic: s.Topic, Partition: s.Partition, Offset: offset}},
		MaxWaitMs:  int32(wait.Milliseconds()), MinBytes: 1, MaxBytes: bytes, AnyReplica: true,
	}, grpc.WaitForReady(true))
	if err != nil {
		return piece{}, runnelv1.FromStatus(err)
	}
	if len(resp.GetResults()) == 0 {
		return piece{}, errors.New("an answer without a result")
	}
	r := resp.GetResults()[0].GetResult()
	if e := r.GetError(); e != nil {
		return piece{}, e
	}
	return open(r.GetBatches(), offset, r.GetNextOffset())
}

// open takes batches apart, and checks each one's sum and counts.
func open(raw []byte, offset, next int64) (piece, error) {
	p := piece{raw: raw, first: offset, next: max(offset, next)}
	for batch, err := range record.Batches(raw) {
		if err != nil {
			return piece{}, &DamageError{offset, err}
		}
		h, err := record.ParseHeader(batch)
		if err == nil {
			err = record.CheckCRC(batch)
		}
		if err != nil {
			return piece{}, &DamageError{offset, err}
		}
		if len(p.batches) == 0 {
			p.first = h.BaseOffset
		}
		n := int32(0)
		if err := record.Each(batch, 0, func(_ int64, r record.Record) error {
			n++
			p.values = append(p.values, Value(r.Value))
			return nil
		}); err != nil {
			return piece{}, &DamageError{offset, err}
		}
		p.batches = append(p.batches, check.Batch{Base: h.BaseOffset, Count: n, Term: h.LeaderEpoch})
	}
	return p, nil
}

// DamageError says that a broker served a batch that is damaged.
type DamageError struct {
	Offset int64 // asked for
	Err    error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("what is served from offset %d on is damaged: %v", e.Offset, e.Err)
}

// Unwrap gives what is wrong.
func (e *DamageError) Unwrap() error { return e.Err }

// Scan reads what a broker has of a slot, from an offset to the end that it knows.
func (b *Brokers) Scan(ctx context.Context, address string, s Slot, offset int64) error {
	for {
		p, err := b.fetch(ctx, address, s, offset, 4<<20, 0)
		if err != nil || p.next == offset {
			return err
		}
		offset = p.next
	}
}

// replica is all that a broker holds of a slot between two offsets.
type replica struct {
	log  check.Log
	hash string
}

// read reads a replica from start to end. One that has not come so far yet is waited for, and so is an error that may pass, for a while.
func (b *Brokers) read(ctx context.Context, address string, s Slot, start, end int64) (replica, error) {
	out := replica{log: check.Log{Start: start, HighWatermark: end}}
	sum := sha256.New()
	progress := time.Now()
	for offset := start; offset < end; {
		p, err := b.fetch(ctx, address, s, offset, 4<<20, readWait)
		if err := ctx.Err(); err != nil {
			return replica{}, fmt.Errorf("at offset %d of %d: %w", offset, end, err)
		}
		var e *runnelv1.Error
		if err != nil {
			if errors.As(err, &e) && retriable(e) && time.Since(progress) < readPatience {
				_ = proc.Wait(ctx, rereadEvery) // its end is seen next
				continue
			}
			return replica{}, fmt.Errorf("at offset %d of %d: %w", offset, end, err)
		}
		p.add(sum, &out.log, offset)
		if p.next > offset {
			progress = time.Now()
		} else if time.Since(progress) > readPatience {
			return replica{}, fmt.Errorf("it is at offset %d of %d and goes no further", offset, end)
		}
		offset = p.next
	}
	out.hash = hex.EncodeToString(sum.Sum(nil))
	return out, nil
}

// add takes what a piece has from offset on.
func (p piece) add(sum hash.Hash, l *check.Log, offset int64) {
	sum.Write(p.raw)
	l.Bytes += int64(len(p.raw))
	for i, v := range p.values {
		if p.first+int64(i) >= offset {
			l.Values = append(l.Values, v)
		}
	}
	for _, b := range p.batches {
		if n := len(l.Batches); n == 0 || b.Base > l.Batches[n-1].Base {
			l.Batches = append(l.Batches, b)
		}
	}
}
