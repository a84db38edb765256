package client

import (
	"context"
	"fmt"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// logStart asks for a partition's log start offset. If it cannot be had, told will do, and the next refusal asks again.
func (r *Reader) logStart(ctx context.Context, p *readPart, told int64) int64 {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	start, err := r.c.listOffsets(ctx, r.topic, []int32{p.num}, AtStart(), nil)
	if err != nil {
		return told
	}
	return start[p.num]
}

// outOfRange says where the log is, for the reader's user to decide. A broker's refusal does not always tell; asking again
// may fail too, and then the offset alone is named.
func (r *Reader) outOfRange(p *readPart, at int64) *Error {
	e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE,
		"offset %d of partition %s is out of range", at, r.where(p))
	nums := []int32{p.num}
	ctx, cancel := context.WithTimeout(r.ctx, callPatience)
	defer cancel()
	start, err := r.c.listOffsets(ctx, r.topic, nums, AtStart(), nil)
	if err != nil {
		return e
	}
	end, err := r.c.listOffsets(ctx, r.topic, nums, AtEnd(), nil)
	if err != nil {
		return e
	}
	e.Message += fmt.Sprintf(": its log starts at offset %d and ends at %d", start[p.num], end[p.num])
	return e
}
