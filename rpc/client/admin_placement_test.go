package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func (b *fakeBroker) RemoveBroker(context.Context, *runnelv1.RemoveBrokerRequest) (*runnelv1.RemoveBrokerResponse, error) {
	return &runnelv1.RemoveBrokerResponse{}, b.adminError(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER)
}

// adminError answers the errors that a test prepared and, after them, that it was done before.
func (b *fakeBroker) adminError(gone runnelv1.ErrorReason) error {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if len(b.c.adminErr) > 0 {
		e := b.c.adminErr[0]
		b.c.adminErr = b.c.adminErr[1:]
		return runnelv1.ToStatus(e)
	}
	return runnelv1.ToStatus(runnelv1.Errorf(gone, "gone"))
}

// What an attempt without an answer may have done is not a failure of the next one.
func TestWhatIsDoneOnceSucceedsAlthoughItsFirstAnswerWasLost(t *testing.T) {
	lost := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "no answer")
	refused := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_CONTROLLER, "ask another broker")
	inUse := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, "it holds replicas")
	for _, tc := range []struct {
		name string
		errs []*Error
		want runnelv1.ErrorReason // 0: success; else definite, and not known for certain after a lost answer
	}{
		{"an answer was lost", []*Error{lost}, 0},
		{"no answer was lost", []*Error{refused}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER},
		{"it was never there", nil, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER},
		{"refused after a lost answer", []*Error{lost, inUse}, runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE},
	} {
		t.Run(tc.name, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				c := newFakeCluster(t, 2)
				a := c.client().Admin()
				c.adminErr = tc.errs
				_, err := a.RemoveBroker(within(t, 5*time.Second), &runnelv1.RemoveBrokerRequest{Broker: 3})
				c.adminErr = tc.errs
				_, cancelErr := a.CancelMove(within(t, 5*time.Second), &runnelv1.CancelMoveRequest{Topic: "t", Move: 7})
				if tc.want == 0 {
					if err != nil || cancelErr != nil {
						t.Fatalf("%v, %v", err, cancelErr)
					}
					return
				}
				kind := runnelv1.ErrorKind_ERROR_KIND_DEFINITE
				if slices.Contains(tc.errs, lost) {
					kind = runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE
				}
				wantError(t, err, kind, tc.want)
				if tc.want == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER {
					wantError(t, cancelErr, kind, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE)
				}
			})
		})
	}
}

// An attempt for which no connection came about has done nothing, so what another broker does not know never was.
func TestWhatNeverWasIsNotDoneWhileABrokerIsDown(t *testing.T) {
	for _, down := range []string{"connection refused", "no such host", "no route to host", "i/o timeout"} {
		for turn := range 2 {
			simulate(t, func(t *testing.T) {
				c := newFakeCluster(t, 2)
				cl := c.client(WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
					if address == addr(1) {
						return nil, errors.New("dial tcp: " + down)
					}
					return c.dial(ctx, address)
				})))
				ctx := within(t, 10*time.Second)
				for range 2 {
					cl.refresh.turn, cl.refresh.shun = turn, map[string]time.Time{}
					_, err := cl.Admin().DeleteTopic(ctx, &runnelv1.DeleteTopicRequest{Name: "never"})
					wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
					cl.refresh.turn, cl.refresh.shun = turn, map[string]time.Time{}
					_, err = cl.Admin().RemoveBroker(ctx, &runnelv1.RemoveBrokerRequest{Broker: 77})
					wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER)
				}
			})
		}
	}
}
