package client

import (
	"context"

	"google.golang.org/protobuf/proto"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// onOne makes a call that changes a topic, all attempts of which name the same id. By name alone an attempt after one whose answer was lost would
// change whatever topic has the name by then: the first one may have been carried out, and another topic made since. An id that is
// not 0 was given by the caller.
func onOne[Resp any](ctx context.Context, a *Admin, name string, id uint64, change func(id uint64) (Resp, error)) (Resp, error) {
	if id != 0 {
		return change(id)
	}
	t, err := a.lookUp(ctx, name)
	if err != nil {
		var none Resp
		return none, err
	}
	for {
		resp, err := change(t.GetId())
		e := runnelv1.AsError(err)
		if e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC || e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_DEFINITE {
			return resp, err
		}
		// No attempt changed anything, so another topic may be named. There is one if it was made since lookUp, or if lookUp asked a broker
		// of an older release, which tells of the topic that it knows.
		now, looked := a.lookUp(ctx, name)
		if looked != nil || now.GetId() <= t.GetId() {
			return resp, err
		}
		t = now
	}
}

// lookUp asks which topic has a name, before it is changed. Its errors are none that tell of a change.
func (a *Admin) lookUp(ctx context.Context, name string) (*runnelv1.DescribeTopicResponse, error) {
	c := a.caller()
	c.patience = callPatience
	t, err := retry(ctx, c, &runnelv1.DescribeTopicRequest{Name: name, Newest: true}, adminCall(runnelv1.AdminClient.DescribeTopic))
	e := runnelv1.AsError(err)
	switch {
	case e == nil:
		return t, nil
	case e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC:
		return nil, runnelv1.Errorf(e.GetReason(), "topic %q does not exist", name)
	case e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE:
		e = proto.CloneOf(e)
		e.Kind = runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
	}
	return nil, e
}
