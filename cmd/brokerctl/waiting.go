package main

import (
	"context"
	"fmt"
	"io"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// waitingPoll is how often a watchdog looks.
	waitingPoll = 500 * time.Millisecond
	// waitingQuiet is how long reading may stand still before a person hears why: an election takes a second or two.
	waitingQuiet = 3 * time.Second
	// waitingRepeat is how often they hear it again.
	waitingRepeat = 10 * time.Second
)

// watchdog says on w why readers cannot read, and, unless giveUp is 0, ends them with that reason after so long.
type watchdog struct {
	readers []reader
	w       io.Writer
	giveUp  time.Duration
	stop    context.CancelCauseFunc

	since, said time.Time // zero: not waiting, nothing said
}

// run looks until ctx ends.
func (d *watchdog) run(ctx context.Context) {
	t := time.NewTicker(waitingPoll)
	defer t.Stop()
	for {
		d.look(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (d *watchdog) look(now time.Time) {
	reason := ""
	for _, r := range d.readers {
		if reason = r.Waiting(); reason != "" {
			break
		}
	}
	if reason == "" {
		d.since, d.said = time.Time{}, time.Time{}
		return
	}
	if d.since.IsZero() {
		d.since = now
	}
	switch waited := now.Sub(d.since); {
	case d.giveUp > 0 && waited >= d.giveUp:
		d.stop(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "no answer within %v: %s", d.giveUp, reason))
	case d.giveUp == 0 && waited >= waitingQuiet && (d.said.IsZero() || now.Sub(d.said) >= waitingRepeat):
		d.said = now
		_, _ = fmt.Fprintf(d.w, "waiting: %s\n", reason) // who closed stderr does not want to know
	}
}
