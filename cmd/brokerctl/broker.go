package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func (a *app) brokerCmd() *cobra.Command {
	return noun("broker", "List, drain, configure and remove brokers",
		a.brokerListCmd(), a.brokerDrainCmd(), a.brokerUndrainCmd(), a.brokerConfigCmd(), a.brokerRemoveCmd())
}

// brokerJSON is an item of `broker list`.
type brokerJSON struct {
	ID      int32  `json:"id"`
	Address string `json:"address"`
	Alive   bool   `json:"alive"`
	// Leaders and Replicas are partitions.
	Leaders  int32 `json:"leaders"`
	Replicas int32 `json:"replicas"`
	Draining bool  `json:"draining"`
}

func brokerOf(b *runnelv1.BrokerDescription) brokerJSON {
	return brokerJSON{b.GetId(), b.GetAddress(), b.GetAlive(), b.GetLeaders(), b.GetReplicas(), b.GetDraining()}
}

func (a *app) brokerListCmd() *cobra.Command {
	return &cobra.Command{
		Annotations: asks(), Use: "list", Short: "List the brokers, whether they are alive, and what they carry",
		Args: nothing, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var resp *runnelv1.ListBrokersResponse
			err := a.ask(cmd.Context(), func(ctx context.Context, c cluster) (err error) {
				resp, err = c.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, each(resp.GetBrokers(), brokerOf))
			}
			return brokerGrid(resp.GetBrokers()).print(a.out)
		},
	}
}

func brokerGrid(brokers []*runnelv1.BrokerDescription) *grid {
	g := newGrid("ID", "ADDRESS", "PEER-ADDRESS", "ALIVE", "DRAINING", "LEADERS", "REPLICAS", "RACK", "VERSION")
	for _, b := range brokers {
		g.add(b.GetId(), orDash(b.GetAddress()), orDash(b.GetPeerAddress()), yesNo(b.GetAlive()), yesNo(b.GetDraining()), b.GetLeaders(),
			b.GetReplicas(), orDash(b.GetRack()), orDash(b.GetVersion()))
	}
	return g
}

func (a *app) brokerUndrainCmd() *cobra.Command {
	return &cobra.Command{
		Use: "undrain ID", Short: "Let a broker have replicas again",
		Long: "Let a broker have replicas again, and end its drain. The controller then evens the brokers' load by itself.",
		Args: these(brokerArg), ValidArgsFunction: a.completeBroker,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := onBroker(args)
			if err != nil {
				return err
			}
			err = a.ask(cmd.Context(), func(ctx context.Context, c cluster) error {
				_, err := c.Admin().UndrainBroker(ctx, &runnelv1.UndrainBrokerRequest{Broker: id})
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, struct {
					Broker   int32 `json:"broker"`
					Draining bool  `json:"draining"`
				}{id, false})
			}
			_, err = fmt.Fprintf(a.out, "broker %d is not drained any more\n", id)
			return err
		},
	}
}

func (a *app) brokerRemoveCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "remove ID --yes", Short: "Remove an empty broker from the cluster for good",
		Long: "Remove an empty broker from the cluster for good: drain it first, unless it is dead and its replicas were replaced. Its id\n" +
			"is never given again, and its data folder is of no use afterwards: with an empty one it can join as a new broker.",
		Args: these(brokerArg), ValidArgsFunction: a.completeBroker,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := onBroker(args)
			if err != nil {
				return err
			}
			if err := a.confirm(cmd.Context(), yes, fmt.Sprintf("removing broker %d is for good, and it can only come back empty, under a new id", id)); err != nil {
				return err
			}
			err = a.ask(cmd.Context(), func(ctx context.Context, c cluster) error {
				_, err := c.Admin().RemoveBroker(ctx, &runnelv1.RemoveBrokerRequest{Broker: id})
				// A retriable one has replicas no more: its vote in the controller group is being taken.
				if e := runnelv1.AsError(err); e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE && e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE {
					return fmt.Errorf("%w (brokerctl broker drain %d --wait empties it)", err, id)
				}
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, struct {
					Broker  int32 `json:"broker"`
					Removed bool  `json:"removed"`
				}{id, true})
			}
			_, err = fmt.Fprintf(a.out, "removed broker %d\n", id)
			return err
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really remove, without being asked")
	return cmd
}
