package broker

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	reasonInvalid      = runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
	reasonStopping     = runnelv1.ErrorReason_ERROR_REASON_STOPPING
	reasonInternal     = runnelv1.ErrorReason_ERROR_REASON_INTERNAL
	reasonNotLeader    = runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER
	reasonCorrupt      = runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH
	reasonTooLarge     = runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE
	reasonUnavailable  = runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE
	reasonUnknownTopic = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC
)

func unknownTopic(name string) *runnelv1.Error {
	return runnelv1.Errorf(reasonUnknownTopic, "topic %q does not exist: create it first", name)
}

func (s *Server) stoppingError() *runnelv1.Error {
	return runnelv1.Errorf(reasonStopping, "broker %d is shutting down: ask another broker", s.id)
}

// batchError tells the client what is wrong with its batch.
func batchError(err error, topic string, n int32) *runnelv1.Error {
	reason := reasonCorrupt
	var be *record.BatchError
	if errors.As(err, &be) && be.TooLarge {
		reason = reasonTooLarge
	}
	return runnelv1.Errorf(reason, "batch for %q partition %d was refused: %v", topic, n, err)
}

// hint completes a NOT_LEADER error with what this broker knows: a partition knows its leader's id at best. The error
// may be shared between callers, so it is copied, never changed.
func (s *Server) hint(e *runnelv1.Error, topic string, n int32) *runnelv1.Error {
	if e == nil || e.GetReason() != reasonNotLeader || (e.GetLeaderId() != 0 && e.GetLeaderAddress() != "") {
		return e
	}
	out := &runnelv1.Error{
		Kind: e.GetKind(), Reason: e.GetReason(), Message: e.GetMessage(),
		LeaderId: e.GetLeaderId(), LeaderAddress: e.GetLeaderAddress(), LeaderTerm: e.GetLeaderTerm(),
	}
	st := s.cluster.State()
	if out.LeaderId == 0 {
		if t := st.Topics[topic]; t != nil && n >= 0 && int(n) < len(t.Partitions) {
			// Naming this broker would send the client in a circle.
			if id, term, ok := s.cluster.Leader(t.Partitions[n].Group); ok && id != s.id {
				out.LeaderId, out.LeaderTerm = id, int64(term) //nolint:gosec // terms stay below 2^31 (RULES 12)
			}
		}
	}
	if b := st.Brokers[out.LeaderId]; b != nil && out.LeaderAddress == "" {
		out.LeaderAddress = b.ClientAddr
	}
	return out
}

// guard turns a panic of f into an INTERNAL error: a defect met by one client must not end the broker.
func (s *Server) guard(what string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.metrics.panics.Inc()
			s.log.Error("a defect in serving a client", "call", what, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = runnelv1.ToStatus(runnelv1.Errorf(reasonInternal, "%s met a defect: the broker's log has more", what))
		}
	}()
	return f()
}
