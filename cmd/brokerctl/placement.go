package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func (a *app) placementCmd() *cobra.Command {
	return noun("placement", "Show what the controller does with replicas and leaders, and why", a.placementPlanCmd())
}

func (a *app) placementPlanCmd() *cobra.Command {
	return &cobra.Command{
		Annotations: asks(), Use: "plan", Short: "Show what the controller would do next, and why; changes nothing",
		Args: nothing, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var resp *runnelv1.PlanResponse
			err := a.ask(cmd.Context(), func(ctx context.Context, c cluster) (err error) {
				resp, err = c.Admin().Plan(ctx, &runnelv1.PlanRequest{})
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, planOf(resp))
			}
			return planText(a.out, resp)
		},
	}
}

func planText(w io.Writer, p *runnelv1.PlanResponse) error {
	var b strings.Builder
	fmt.Fprintf(&b, "plan at revision %d: %s under way, %s next", p.GetRevision(), plural(int64(len(p.GetUnderWay())), "move"), count(int64(len(p.GetMoves()))))
	if n := p.GetWaiting(); n > 0 {
		fmt.Fprintf(&b, ", %s or more later", count(int64(n)))
	}
	fmt.Fprintf(&b, "; %s, %s to transfer, %s blocked\n", plural(int64(len(p.GetOrders())), "new order"), plural(int64(len(p.GetTransfers())), "leader"),
		count(int64(len(p.GetBlocked()))+int64(p.GetBlockedMore())))
	for _, r := range p.GetReasons() {
		fmt.Fprintf(&b, "  %s\n", r)
	}
	for _, r := range p.GetRecoveries() {
		fmt.Fprintf(&b, "  %s/%d was recovered by hand at revision %d%s\n", r.GetTopic(), r.GetPartition(), r.GetRevision(), note(r.GetNote()))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	for _, g := range []*grid{
		moveGrid(p.GetUnderWay()), nextGrid(p), leaderGrid(p), quarantineGrid(p.GetQuarantined()), silentGrid(p.GetSilent()), drainGrid(p.GetDrains()),
	} {
		if err := g.section(w, 0); err != nil {
			return err
		}
	}
	if err := blockedGrid(p.GetBlocked()).section(w, p.GetBlockedMore()); err != nil {
		return err
	}
	if err := loadGrid(p.GetSpread()).section(w, 0); err != nil {
		return err
	}
	if n := p.GetMore(); n > 0 {
		_, err := fmt.Fprintf(w, "\n%s more entries are left out\n", count(int64(n)))
		return err
	}
	return nil
}

func note(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// nextGrid lists what comes next, the most urgent first.
func nextGrid(p *runnelv1.PlanResponse) *grid {
	g := newGrid("NEXT", "TOPIC", "PARTITION", "FROM", "TO", "REASON")
	for _, c := range p.GetCancels() {
		g.add("cancel", shortName(c.GetTopic()), c.GetPartition(), "-", "-", orDash(c.GetReason()))
	}
	for _, m := range p.GetMoves() {
		g.add(strings.ReplaceAll(m.GetKind(), "_", " "), shortName(m.GetTopic()), m.GetPartition(), ids(m.GetFrom()), ids(m.GetTo()), orDash(m.GetReason()))
	}
	for _, o := range p.GetOrders() {
		g.add("new order", shortName(o.GetTopic()), o.GetPartition(), ids(o.GetFrom()), ids(o.GetTo()), orDash(o.GetReason()))
	}
	return g
}

func leaderGrid(p *runnelv1.PlanResponse) *grid {
	g := newGrid("LEADER-OF", "PARTITION", "FROM", "TO", "REASON")
	for _, t := range p.GetTransfers() {
		g.add(shortName(t.GetTopic()), t.GetPartition(), t.GetFrom(), t.GetTo(), orDash(t.GetReason()))
	}
	return g
}

func quarantineGrid(list []*runnelv1.QuarantinedReplica) *grid {
	g := newGrid("QUARANTINED", "PARTITION", "BROKER", "REPLICA", "REASON")
	for _, q := range list {
		g.add(shortName(q.GetTopic()), q.GetPartition(), q.GetBroker(), q.GetReplica(), orDash(q.GetReason()))
	}
	return g
}

func silentGrid(list []*runnelv1.SilentBroker) *grid {
	g := newGrid("SILENT-BROKER", "FOR", "REPLACED-AFTER")
	for _, s := range list {
		after := "never"
		if s.GetReplacedAfterMs() > 0 {
			after = duration(s.GetReplacedAfterMs())
		}
		g.add(s.GetBroker(), right(duration(s.GetSilentMs())), right(after))
	}
	return g
}

func duration(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).Round(time.Second).String()
}

func drainGrid(list []*runnelv1.DrainDescription) *grid {
	g := newGrid("DRAINED-BROKER", "REPLICAS-LEFT", "SIZE", "MOVING", "BLOCKED", "LEADERS", "CONTROLLER-VOTER")
	for _, d := range list {
		g.add(d.GetBroker(), d.GetReplicas(), sizeOrDash(d.GetBytes()), d.GetMoving(), blockedCount(d), d.GetLeaders(), yesNo(d.GetControllerVoter()))
	}
	return g
}

// loadGrid shows what each broker carries and, in the last row, how far apart the brokers are that count.
func loadGrid(s *runnelv1.SpreadDescription) *grid {
	g := newGrid("BROKER", "REPLICAS", "LEADERS", "PREFERRED", "SIZE")
	for _, b := range s.GetBrokers() {
		g.add(right(fmt.Sprint(b.GetBroker())), b.GetReplicas(), b.GetLeaders(), b.GetPreferred(), sizeOrDash(b.GetBytes()))
	}
	if len(s.GetBrokers()) > 0 {
		g.add(right("spread"), s.GetReplicas(), s.GetLeaders(), s.GetPreferred(), sizeOrDash(s.GetBytes()))
	}
	return g
}
