package natspeer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-io/runnel/cmd/brokerctl/load"
	"github.com/runnel-io/runnel/rpc/client"
)

// waiting is a record whose acknowledgement is awaited.
type waiting struct {
	rec     *client.Record
	promise func(*client.Record, error)
}

// async publishes each message by itself and has up to a window of them unacknowledged.
type async struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	subjects []string

	mu      sync.Mutex
	room    sync.Cond // signalled when bytes fall
	next    int
	bytes   int // unacknowledged
	waiting map[*nats.Msg]waiting
}

// windowBytes bounds what a producer has unacknowledged, as the buffer of the other clients does. Without it, a window of
// large messages is refused by the server, which queues 128 MB for a stream.
const windowBytes = 16 << 20

func newAsync(nc *nats.Conn, l layout, turn int, o option) (load.Producer, error) {
	a := &async{nc: nc, subjects: subjectsOf(l), next: turn, waiting: map[*nats.Msg]waiting{}}
	a.room.L = &a.mu
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(o.window), jetstream.WithPublishAsyncTimeout(30*time.Second),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, _ *jetstream.PubAck) { a.finish(m, nil) }),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) { a.finish(m, err) }))
	a.js = js
	return a, err
}

func subjectsOf(l layout) []string {
	subjects := make([]string, l.partitions)
	for p := range subjects {
		subjects[p] = l.subject(int32(p))
	}
	return subjects
}

func (a *async) Produce(ctx context.Context, r *client.Record, promise func(*client.Record, error)) {
	m := &nats.Msg{Data: r.Value}
	a.mu.Lock()
	for a.bytes > 0 && a.bytes+len(r.Value) > windowBytes {
		a.room.Wait()
	}
	a.bytes += len(r.Value)
	if r.Partition >= 0 {
		m.Subject = a.subjects[r.Partition]
	} else {
		m.Subject = a.subjects[a.next%len(a.subjects)]
		a.next++
	}
	a.waiting[m] = waiting{r, promise}
	a.mu.Unlock()
	for {
		_, err := a.js.PublishMsgAsync(m)
		switch {
		case err == nil:
			return
		case errors.Is(err, jetstream.ErrTooManyStalledMsgs) && ctx.Err() == nil:
			// The window was full for longer than the client waits by itself.
		default:
			a.finish(m, err)
			return
		}
	}
}

func (a *async) finish(m *nats.Msg, err error) {
	a.mu.Lock()
	w, ok := a.waiting[m]
	delete(a.waiting, m)
	if ok {
		a.bytes -= len(m.Data)
		a.room.Signal()
	}
	a.mu.Unlock()
	if ok {
		w.promise(w.rec, err)
	}
}

func (a *async) Flush(ctx context.Context) error {
	select {
	case <-a.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *async) Close() error {
	a.nc.Close()
	return nil
}
