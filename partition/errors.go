package partition

import (
	"fmt"

	"github.com/runnel-io/runnel/partition/multiraft"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	reasonInvalid      = runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
	reasonNotLeader    = runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER
	reasonOutOfOrder   = runnelv1.ErrorReason_ERROR_REASON_OUT_OF_ORDER_SEQUENCE
	reasonUnknownProd  = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PRODUCER
	reasonFenced       = runnelv1.ErrorReason_ERROR_REASON_PRODUCER_FENCED
	reasonDuplicateSeq = runnelv1.ErrorReason_ERROR_REASON_DUPLICATE_SEQUENCE
	reasonManyProd     = runnelv1.ErrorReason_ERROR_REASON_TOO_MANY_PRODUCERS
	reasonOutOfRange   = runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE
	reasonOverloaded   = runnelv1.ErrorReason_ERROR_REASON_OVERLOADED
	reasonTimeout      = runnelv1.ErrorReason_ERROR_REASON_TIMEOUT
	reasonUnavailable  = runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE
	reasonLost         = runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP
	reasonStopping     = runnelv1.ErrorReason_ERROR_REASON_STOPPING
	reasonTimestamp    = runnelv1.ErrorReason_ERROR_REASON_INVALID_TIMESTAMP
	reasonDiskFull     = runnelv1.ErrorReason_ERROR_REASON_DISK_FULL
	reasonTooLarge     = runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE
)

// notLeader names the leader if the replica knows one that is not itself.
func (p *Partition) notLeader(st multiraft.Status) *runnelv1.Error {
	e := runnelv1.Errorf(reasonNotLeader, "%s is not led by this broker: ask its leader", p.name)
	if st.Lead != 0 && st.Lead != p.cfg.Replica && st.LeadBroker != 0 {
		e.LeaderId = st.LeadBroker
		e.Message = fmt.Sprintf("%s is led by broker %d: ask it", p.name, st.LeadBroker)
	}
	e.LeaderTerm = int64(st.Term)
	return e
}

// indeterminate is what a batch in flight is told when its session ends: whatever the reason, raft may commit it yet.
func (p *Partition) indeterminate(reason *runnelv1.Error) *runnelv1.Error {
	if reason == nil {
		return runnelv1.Errorf(reasonLost, "%s lost its leader while the batch was in flight: it may or may not be written, send it again", p.name)
	}
	return &runnelv1.Error{
		Kind: runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, Reason: reason.GetReason(), Message: reason.GetMessage(),
		LeaderId: reason.GetLeaderId(), LeaderAddress: reason.GetLeaderAddress(), LeaderTerm: reason.GetLeaderTerm(),
	}
}

func (p *Partition) stoppingError() *runnelv1.Error {
	return runnelv1.Errorf(reasonStopping, "%s is stopping on this broker: ask another one", p.name)
}

// readTimeout is retriable: a read has no effect.
func (p *Partition) readTimeout(what string) *runnelv1.Error {
	return retriable(runnelv1.Errorf(reasonTimeout, "%s of %s did not end in time: try again", what, p.name))
}

func retriable(e *runnelv1.Error) *runnelv1.Error {
	e.Kind = runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
	return e
}
