package controller

import (
	"context"
	"testing"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// refusals answers each call with the next error.
type refusals struct{ errs []error }

func (r *refusals) Call(context.Context, int32, string, []byte) ([]byte, error) {
	err := r.errs[0]
	r.errs = r.errs[1:]
	return nil, err
}

// The first try may be carried out after the second was refused.
func TestATryThatMayHaveMadeTheChangeIsNotForgotten(t *testing.T) {
	lost := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "no answer")
	for _, reason := range []runnelv1.ErrorReason{runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT} {
		refused := runnelv1.Errorf(reason, "refused")
		_, nodes := cluster(t, 2)
		nodes[1].c.cfg.Caller = &refusals{[]error{refused}}
		_, err := nodes[1].c.Do(t.Context(), CreateTopic{Name: "t"})
		wantReason(t, err, reason, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)
		nodes[1].c.cfg.Caller = &refusals{[]error{lost, refused}}
		_, err = nodes[1].c.Do(t.Context(), CreateTopic{Name: "t"})
		wantReason(t, err, reason, runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE)
	}
}
