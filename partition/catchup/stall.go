package catchup

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A disk may hang for hours: what reads it does not return, and the broker beside it hears and answers as ever. So a call of a shipment has a
// bound, after which its source has stalled and another one is to be asked. The bound must not be met by a source that only waits for the
// rate, so it is made of two parts:
//
//   - silence, for the work. It is bounded: no call has the source read more than a piece of maxChunk, but for the manifest, which looks into
//     each segment, and the first call of a check, which walks over the pages of one. Sums and checks are asked for piece by piece. (A
//     source of a release before that does a whole file in a call.)
//   - the time in which sharers pieces come through the source's limiter. That serves first come, first served, so a piece waits for those
//     before it: one for each shipment there, one for each replica that the source receives itself, and what was booked by calls that were
//     given up since. The rate is the lower one of what the source told with its manifest and this broker's own, which is the
//     newer one where both are changed.
//
// What this broker waits in its own limiter is no part of a call. Either part may be estimated too low: a disk that is slow but works,
// thousands of segments, more that share the rate. Patient is for that. It is bounded too: a source that hangs holds one of its
// receiver's turns meanwhile, and there may be no other.
const (
	silence    = time.Minute
	sharers    = 64
	maxPatient = 3 // times that the bound is doubled
)

// ErrStalled tells that a source gave nothing within the bound of a call. It may be well again later.
var ErrStalled = errors.New("the source gives nothing: its disk may hang")

// Patient is a client that gives a source twice the time for each time that it has stalled before, up to eight times.
func (c *Client) Patient(stalls int) *Client {
	return &Client{c: c.c, patience: min(max(stalls, 0), maxPatient)}
}

// bound is how long a call may take.
func (t *transfer) bound() time.Duration {
	bound := silence
	rate := t.c.Limiter.Rate()
	if t.rate > 0 && (rate == 0 || t.rate < rate) {
		rate = t.rate
	}
	if rate > 0 {
		bound += time.Duration(float64(sharers*maxChunk) / float64(rate) * float64(time.Second))
	}
	return bound << t.patience
}

// call asks the source. ErrStalled: it did not answer within the bound.
func (t *transfer) call(ctx context.Context, method string, request any) ([]byte, error) {
	body, err := encode(request)
	if err != nil {
		return nil, err
	}
	bound := t.bound()
	within, done := t.c.Env.Within(ctx, bound)
	defer done()
	out, err := t.c.Caller.Call(within, t.broker, method, body)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("no answer to %s within %s: %w", method, bound.Round(time.Second), ErrStalled)
	}
	return out, err
}
