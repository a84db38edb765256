package controller

import (
	"errors"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// toError turns a refusal of package placement into the error that travels.
func toError(err error) *runnelv1.Error {
	if err == nil {
		return nil
	}
	var p *placement.Error
	if !errors.As(err, &p) {
		return runnelv1.AsError(err)
	}
	reason := runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
	switch p.Code {
	case placement.CodeTopicExists:
		reason = runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS
	case placement.CodeUnknownTopic:
		reason = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC
	case placement.CodeNotEnoughBrokers:
		reason = runnelv1.ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS
	case placement.CodeNotFounded:
		reason = runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE
	case placement.CodeUnknownBroker, placement.CodeOtherIncarnation: // either way the one who asks is no member
		reason = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER
	case placement.CodeUnknownMove:
		reason = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE
	case placement.CodeMoveUnderWay:
		reason = runnelv1.ErrorReason_ERROR_REASON_MOVE_UNDER_WAY
	case placement.CodeMovePhase:
		reason = runnelv1.ErrorReason_ERROR_REASON_MOVE_TOO_FAR
	case placement.CodeBrokerInUse:
		reason = runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE
	case placement.CodeOutdated:
		reason = runnelv1.ErrorReason_ERROR_REASON_OUTDATED
	case placement.CodeUnknownCommand:
		reason = runnelv1.ErrorReason_ERROR_REASON_INTERNAL
	}
	return runnelv1.Errorf(reason, "%s", p.Msg)
}
