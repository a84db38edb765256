package client

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// fakeTopic is a topic as the controller has it, of the name "t" and with one partition. The ids of 0 are of none.
type fakeTopic struct {
	id, move uint64
	// lags are the ids that a broker of an older release tells when it is asked, one after the other, before it tells id.
	lags []uint64
	// losing is called after a change, once, whose answer is lost then.
	losing func()
	// did are the changes: what was done to which topic or move.
	did []string
	// hidden: a move begins only after the topic was described.
	hidden bool
	// dark: the controller does not answer which topic it is.
	dark bool
}

// recorded answers for the topic, or nothing if the test has none.
func (b *fakeBroker) recorded(req *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error) {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	o := b.c.one
	if o == nil {
		return nil, nil
	}
	id := o.id
	switch {
	case o.dark:
		return nil, status.Error(codes.Unavailable, "lost")
	case len(o.lags) > 0:
		id, o.lags = o.lags[0], o.lags[1:]
	case id == 0:
		return nil, runnelv1.ToStatus(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "no topic"))
	}
	if !req.GetNewest() {
		b.c.t.Error("a broker was asked what it knows, not what the controller does")
	}
	d := &runnelv1.PartitionDescription{}
	if o.move != 0 && !o.hidden {
		d.Move = &runnelv1.MoveDescription{Id: o.move}
	}
	return &runnelv1.DescribeTopicResponse{Name: req.GetName(), Id: id, Partitions: []*runnelv1.PartitionDescription{d}}, nil
}

// change carries out a change of the topic with an id, or of that there is, and may lose the answer.
func (b *fakeBroker) change(what string, id uint64, do func(o *fakeTopic)) error {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	o := b.c.one
	if o == nil || o.id == 0 || id != 0 && id != o.id {
		return runnelv1.ToStatus(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "no topic with id %d", id))
	}
	o.did = append(o.did, fmt.Sprint(what, " ", o.id))
	do(o)
	return o.answer()
}

func (o *fakeTopic) answer() error {
	if f := o.losing; f != nil {
		o.losing = nil
		f()
		return status.Error(codes.Unavailable, "lost")
	}
	return nil
}

func (b *fakeBroker) DeleteTopic(_ context.Context, req *runnelv1.DeleteTopicRequest) (*runnelv1.DeleteTopicResponse, error) {
	return &runnelv1.DeleteTopicResponse{}, b.change("delete", req.GetTopicId(), func(o *fakeTopic) { o.id = 0 })
}

func (b *fakeBroker) AlterTopic(_ context.Context, req *runnelv1.AlterTopicRequest) (*runnelv1.AlterTopicResponse, error) {
	return &runnelv1.AlterTopicResponse{}, b.change("alter", req.GetTopicId(), func(*fakeTopic) {})
}

func (b *fakeBroker) MovePartition(_ context.Context, req *runnelv1.MovePartitionRequest) (*runnelv1.MovePartitionResponse, error) {
	return &runnelv1.MovePartitionResponse{}, b.change("move", req.GetTopicId(), func(*fakeTopic) {})
}

func (b *fakeBroker) CancelMove(_ context.Context, req *runnelv1.CancelMoveRequest) (*runnelv1.CancelMoveResponse, error) {
	b.c.mu.Lock()
	o := b.c.one
	b.c.mu.Unlock()
	if o == nil {
		return &runnelv1.CancelMoveResponse{}, b.adminError(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE)
	}
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if o.move == 0 || req.GetMove() != 0 && req.GetMove() != o.move {
		return nil, runnelv1.ToStatus(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE, "no move %d", req.GetMove()))
	}
	o.did = append(o.did, fmt.Sprint("cancel ", o.move))
	o.move = 0
	return &runnelv1.CancelMoveResponse{}, o.answer()
}

// changes are the calls that change a topic.
var changes = map[string]func(ctx context.Context, a *Admin, id uint64) error{
	"delete": func(ctx context.Context, a *Admin, id uint64) error {
		_, err := a.DeleteTopic(ctx, &runnelv1.DeleteTopicRequest{Name: "t", TopicId: id})
		return err
	},
	"alter": func(ctx context.Context, a *Admin, id uint64) error {
		_, err := a.AlterTopic(ctx, &runnelv1.AlterTopicRequest{Name: "t", Partitions: 3, TopicId: id})
		return err
	},
	"move": func(ctx context.Context, a *Admin, id uint64) error {
		_, err := a.MovePartition(ctx, &runnelv1.MovePartitionRequest{Topic: "t", Brokers: []int32{2}, TopicId: id})
		return err
	},
}

// eachChange makes every change of a topic in a cluster of its own.
func eachChange(t *testing.T, o fakeTopic, f func(t *testing.T, o *fakeTopic, what string, change func(id uint64) error)) {
	t.Helper()
	for what, change := range changes {
		t.Run(what, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				c, o := newFakeCluster(t, 2), o
				c.one = &o
				a := c.client().Admin()
				f(t, &o, what, func(id uint64) error { return change(within(t, 10*time.Second), a, id) })
			})
		})
	}
}

func wantDid(t *testing.T, o *fakeTopic, want ...string) {
	t.Helper()
	if !slices.Equal(o.did, want) {
		t.Errorf("done: %q, want %q", o.did, want)
	}
}

func TestAChangeWhoseAnswerIsLostLeavesTheNextTopicAlone(t *testing.T) {
	for _, given := range []uint64{0, 1} {
		eachChange(t, fakeTopic{id: 1}, func(t *testing.T, o *fakeTopic, what string, change func(uint64) error) {
			o.losing = func() { o.id = 2 }
			err := change(given)
			wantDid(t, o, what+" 1")
			if what == "delete" { // it is gone, and that is what was asked for
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
		})
	}
}

func TestATopicThatIsNotThereIsNotChanged(t *testing.T) {
	eachChange(t, fakeTopic{}, func(t *testing.T, o *fakeTopic, _ string, change func(uint64) error) {
		err := change(0)
		wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
		if err.Error() != `topic "t" does not exist` {
			t.Error(err)
		}
		o.id = 2
		wantError(t, change(1), runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
		wantDid(t, o)
	})
}

// A broker of an older release tells of the topic that it knows. While no attempt has changed anything, another one is named.
func TestATopicThatALaggingBrokerDoesNotKnowIsChanged(t *testing.T) {
	eachChange(t, fakeTopic{id: 3, lags: []uint64{1, 2}}, func(t *testing.T, o *fakeTopic, what string, change func(uint64) error) {
		if err := change(0); err != nil {
			t.Error(err)
		}
		wantDid(t, o, what+" 3")
	})
	eachChange(t, fakeTopic{id: 3, lags: []uint64{1, 1}}, func(t *testing.T, o *fakeTopic, _ string, change func(uint64) error) {
		wantError(t, change(0), runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
		wantDid(t, o)
	})
}

func TestWhereNobodyTellsWhichTopicItIsNothingIsChanged(t *testing.T) {
	eachChange(t, fakeTopic{id: 1, dark: true}, func(t *testing.T, o *fakeTopic, _ string, change func(uint64) error) {
		wantError(t, change(0), runnelv1.ErrorKind_ERROR_KIND_RETRIABLE, runnelv1.ErrorReason_ERROR_REASON_TIMEOUT)
		wantDid(t, o)
	})
}

func TestACancellationWhoseAnswerIsLostLeavesTheNextMoveAlone(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.one = &fakeTopic{id: 1, move: 5}
		c.one.losing = func() { c.one.move = 6 }
		a := c.client().Admin()
		cancel := func() error {
			_, err := a.CancelMove(within(t, 10*time.Second), &runnelv1.CancelMoveRequest{Topic: "t"})
			return err
		}
		if err := cancel(); err != nil {
			t.Error(err)
		}
		wantDid(t, c.one, "cancel 5")
		// No move was found, and one began until the controller was asked: it is turned back. The next one is left alone.
		c.one = &fakeTopic{id: 1}
		wantError(t, cancel(), runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE)
		c.one.hidden, c.one.move = true, 7
		c.one.losing = func() { c.one.move = 8 }
		wantError(t, cancel(), runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE)
		wantDid(t, c.one, "cancel 7")
	})
}
