package client

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// refuseAllBut0 has the records of all partitions but 0 refused: each then needs another producer id.
func (c *fakeCluster) refuseAllBut0() {
	c.locked(func() {
		c.judge = func(_ int32, _ string, n int32, _ record.Header) verdict {
			if n == 0 {
				return verdict{}
			}
			return verdict{err: runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_TIMESTAMP, "in the future")}
		}
	})
}

// A topic is dropped if its next producer id is refused, or if it does not exist for a while. Its partitions may be there still, and know
// the first sequences of the id that they were written with.
func TestADroppedTopicsPartitionsTakeANewProducerID(t *testing.T) {
	for name, drop := range map[string]func(*testing.T, *fakeCluster, *Client){
		"no id": func(t *testing.T, c *fakeCluster, cl *Client) {
			ctx := within(t, time.Minute)
			c.refuseAllBut0()
			err := cl.ProduceSync(ctx, rec("t", 1, "refused"))
			wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_INVALID_TIMESTAMP)
			no := func(err error) {
				c.locked(func() { c.brokers[1].noIDs, c.brokers[2].noIDs = err, err })
			}
			no(runnelv1.ToStatus(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "not now")))
			err = cl.ProduceSync(ctx, rec("t", 1, "without an id"))
			wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
			no(nil)
		},
		"no topic": func(t *testing.T, c *fakeCluster, cl *Client) {
			was := c.topics["t"]
			c.locked(func() { delete(c.topics, "t"); c.revision++ })
			err := cl.ProduceSync(within(t, time.Minute), rec("t", 0, "nowhere"))
			wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
			c.locked(func() { c.topics["t"] = was; c.revision++ })
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				c := newFakeCluster(t, 2)
				c.topic("t", 1, 1)
				cl := c.client()
				if err := cl.ProduceSync(within(t, time.Minute), rec("t", 0, "a")); err != nil {
					t.Fatal(err)
				}
				drop(t, c, cl)
				if err := cl.ProduceSync(within(t, time.Minute), rec("t", 0, "b")); err != nil {
					t.Fatal(err)
				}
				wantValues(t, c.values("t", 0), "a", "b")
			})
		})
	}
}

// The address of a broker that is gone may lead to another service, and a broker that was removed is refused everything.
func TestAProducerIDIsAskedOfTheOtherBrokersWhenOneRefuses(t *testing.T) {
	for _, no := range []error{
		status.Error(codes.Unimplemented, "unknown service"), status.Error(codes.PermissionDenied, "who are you?"),
		runnelv1.ToStatus(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER, "removed")),
	} {
		for turn := range 3 {
			simulate(t, func(t *testing.T) {
				c := newFakeCluster(t, 3)
				c.topic("t", 1)
				c.brokers[2].noIDs = no
				cl := c.client()
				cl.refresh.turn = turn
				if err := cl.ProduceSync(within(t, time.Second), rec("t", 0, "a")); err != nil {
					t.Errorf("beside %v: %v", no, err)
				}
			})
		}
	}
}
