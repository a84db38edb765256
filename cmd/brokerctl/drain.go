package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// drainPoll is how often a drain that is waited for is looked at.
const drainPoll = time.Second

// drainJSON is the answer of `broker drain`.
type drainJSON struct {
	Broker   int32 `json:"broker"`
	Draining bool  `json:"draining"`
	// Empty: nothing is left, and the broker can be removed.
	Empty bool `json:"empty"`
	// Replicas and their bytes are left on the broker; moving of them are on their way off it.
	Replicas        int32         `json:"replicas"`
	Moving          int32         `json:"moving"`
	Bytes           int64         `json:"bytes"`
	Leaders         int32         `json:"leaders"`
	ControllerVoter bool          `json:"controller_voter"`
	Blocked         []blockedJSON `json:"blocked"`
	// BlockedMore counts what is blocked and not listed.
	BlockedMore int32    `json:"blocked_more"`
	Waiting     []string `json:"waiting"`
}

func drainOf(d *runnelv1.DrainDescription) drainJSON {
	return drainJSON{
		Broker: d.GetBroker(), Draining: d.GetDraining(), Empty: isEmpty(d), Replicas: d.GetReplicas(), Moving: d.GetMoving(), Bytes: d.GetBytes(),
		Leaders: d.GetLeaders(), ControllerVoter: d.GetControllerVoter(), Blocked: blockedOf(d.GetBlocked()), BlockedMore: d.GetBlockedMore(),
		Waiting: list(d.GetWaiting()),
	}
}

func isEmpty(d *runnelv1.DrainDescription) bool {
	return d.GetReplicas() == 0 && !d.GetControllerVoter()
}

// isStuck tells whether all that is left is blocked. A vote in the controller group, when all replicas are gone, is taken within seconds by
// another broker that can.
func isStuck(d *runnelv1.DrainDescription) bool {
	return !isEmpty(d) && d.GetMoving() == 0 && blockedCount(d) >= d.GetReplicas()
}

func blockedCount(d *runnelv1.DrainDescription) int32 {
	return int32(len(d.GetBlocked())) + d.GetBlockedMore()
}

func (a *app) brokerDrainCmd() *cobra.Command {
	var wait bool
	var giveUp time.Duration
	cmd := &cobra.Command{
		Use: "drain ID", Short: "Move everything off a broker, so that it can be removed",
		Long: "Move everything off a broker, so that it can be removed. It goes on serving meanwhile and gets no new replicas. The drain\n" +
			"goes on until broker undrain ends it, whether or not somebody waits. Run again, it tells how far the drain is. With --wait,\n" +
			"--timeout bounds each question, not the drain.",
		Example: "  brokerctl broker drain 3 --wait && brokerctl broker remove 3 --yes",
		Args:    these(brokerArg), ValidArgsFunction: a.completeBroker,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := onBroker(args)
			if err != nil {
				return err
			}
			if giveUp < 0 {
				return fmt.Errorf("--give-up is %v: use a time such as 1m, or 0 to wait for ever", giveUp)
			}
			if cmd.Flags().Changed("give-up") && !wait {
				return errors.New("--give-up ends a --wait: say that too")
			}
			var d *runnelv1.DrainDescription
			err = a.with(connectSpec{}, func(c cluster) (err error) {
				w := drainer{app: a, admin: c.Admin(), broker: id, giveUp: giveUp}
				d, err = w.begin(cmd.Context())
				if err == nil && wait {
					d, err = w.wait(cmd.Context(), d)
				}
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, drainOf(d))
			}
			return drainText(a.out, d)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&wait, "wait", false, "wait until the broker is empty, and show how far it is")
	f.DurationVar(&giveUp, "give-up", time.Minute, "end --wait, with the reasons, when all that is left has been blocked for so long; 0: never")
	return cmd
}

// drainText tells how far a drain is.
func drainText(w io.Writer, d *runnelv1.DrainDescription) error {
	id := d.GetBroker()
	if isEmpty(d) {
		_, err := fmt.Fprintf(w, "broker %d is empty: brokerctl broker remove %d --yes removes it\n", id, id)
		return err
	}
	text := fmt.Sprintf("draining broker %d: %s%s left, %s moving, %s blocked", id, plural(int64(d.GetReplicas()), "replica"), ofSize(d.GetBytes()),
		count(int64(d.GetMoving())), count(int64(blockedCount(d))))
	if _, err := fmt.Fprintln(w, text); err != nil {
		return err
	}
	for _, s := range d.GetWaiting() {
		if _, err := fmt.Fprintf(w, "waiting: %s\n", s); err != nil {
			return err
		}
	}
	return blockedGrid(d.GetBlocked()).section(w, d.GetBlockedMore())
}

// ofSize is a size in brackets; empty if it is not known.
func ofSize(n int64) string {
	if n <= 0 {
		return ""
	}
	return " (" + size(n) + ")"
}

// drainer begins a drain and waits for its end.
type drainer struct {
	app    *app
	admin  admin
	broker int32
	giveUp time.Duration
}

func (w *drainer) begin(ctx context.Context) (*runnelv1.DrainDescription, error) {
	ctx, cancel := context.WithTimeout(ctx, w.app.timeout)
	defer cancel()
	if _, err := w.admin.DrainBroker(ctx, &runnelv1.DrainBrokerRequest{Broker: w.broker}); err != nil {
		return nil, err
	}
	return w.describe(ctx)
}

func (w *drainer) describe(ctx context.Context) (*runnelv1.DrainDescription, error) {
	resp, err := w.admin.DescribeDrain(ctx, &runnelv1.DescribeDrainRequest{Broker: w.broker})
	return resp.GetDrain(), err
}

// wait looks until the broker is empty, ctx ends, or there is nothing to wait for any more.
func (w *drainer) wait(ctx context.Context, d *runnelv1.DrainDescription) (*runnelv1.DrainDescription, error) {
	p := newDrainProgress(w.app, w.broker)
	defer p.end()
	t := time.NewTicker(drainPoll)
	defer t.Stop()
	var stuck time.Time // since when; zero: it is not
	for {
		p.show(d, time.Now())
		switch {
		case !d.GetDraining():
			return nil, fmt.Errorf("somebody has ended the drain of broker %d: %s left on it", w.broker, plural(int64(d.GetReplicas()), "replica"))
		case isEmpty(d):
			return d, nil
		case !isStuck(d):
			stuck = time.Time{}
		case stuck.IsZero():
			stuck = time.Now()
		case w.giveUp > 0 && time.Since(stuck) >= w.giveUp:
			return nil, w.goesOn(w.stuck(d))
		}
		select {
		case <-ctx.Done():
			p.say(fmt.Sprintf("the drain goes on: brokerctl broker undrain %d ends it", w.broker))
			return nil, ctx.Err()
		case <-t.C:
		}
		var err error
		if d, err = w.look(ctx); err != nil {
			return nil, w.goesOn(err)
		}
	}
}

// stuck says what a drain has been blocked by for giveUp.
func (w *drainer) stuck(d *runnelv1.DrainDescription) error {
	if d.GetReplicas() == 0 {
		return fmt.Errorf("broker %d cannot be emptied: it has no replicas any more, and for %v no other broker has taken its vote in the controller group, "+
			"which takes one that is alive and not draining", w.broker, w.giveUp)
	}
	return fmt.Errorf("broker %d cannot be emptied, %s of it blocked for %v: %s", w.broker, plural(int64(blockedCount(d)), "replica"),
		w.giveUp, strings.Join(each(blockedReasons(d), blockedReason.String), "; "))
}

// goesOn tells with an error that only the waiting has ended.
func (w *drainer) goesOn(err error) error {
	return fmt.Errorf("%w; the drain goes on until brokerctl broker undrain %d ends it", err, w.broker)
}

func (w *drainer) look(ctx context.Context) (*runnelv1.DrainDescription, error) {
	ctx, cancel := context.WithTimeout(ctx, w.app.timeout)
	defer cancel()
	return w.describe(ctx)
}

// blockedReason is why replicas are blocked, with the first of their partitions.
type blockedReason struct {
	reason, first string
	n             int64
}

func (b blockedReason) String() string {
	if b.n > 1 {
		return fmt.Sprintf("%s and %s more: %s", b.first, count(b.n-1), b.reason)
	}
	return b.first + ": " + b.reason
}

func blockedReasons(d *runnelv1.DrainDescription) []blockedReason {
	var out []blockedReason
	at := map[string]int{}
	for _, b := range d.GetBlocked() {
		i, ok := at[b.GetReason()]
		if !ok {
			i = len(out)
			at[b.GetReason()] = i
			out = append(out, blockedReason{reason: b.GetReason(), first: fmt.Sprintf("%s/%d", b.GetTopic(), b.GetPartition())})
		}
		out[i].n++
	}
	return out
}
