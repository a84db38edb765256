package main

import (
	"context"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func (a *app) brokerCmd() *cobra.Command {
	return noun("broker", "List brokers", a.brokerListCmd())
}

// brokerJSON is an item of `broker list`.
type brokerJSON struct {
	ID      int32  `json:"id"`
	Address string `json:"address"`
	Alive   bool   `json:"alive"`
	// Leaders and Replicas are partitions.
	Leaders  int32 `json:"leaders"`
	Replicas int32 `json:"replicas"`
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
				brokers := []brokerJSON{}
				for _, b := range resp.GetBrokers() {
					brokers = append(brokers, brokerJSON{b.GetId(), b.GetAddress(), b.GetAlive(), b.GetLeaders(), b.GetReplicas()})
				}
				return printJSON(a.out, brokers)
			}
			return brokerGrid(resp.GetBrokers()).print(a.out)
		},
	}
}

func brokerGrid(brokers []*runnelv1.BrokerDescription) *grid {
	g := newGrid("ID", "ADDRESS", "PEER-ADDRESS", "ALIVE", "LEADERS", "REPLICAS", "RACK", "VERSION")
	for _, b := range brokers {
		alive := "no"
		if b.GetAlive() {
			alive = "yes"
		}
		g.add(b.GetId(), orDash(b.GetAddress()), orDash(b.GetPeerAddress()), alive, b.GetLeaders(), b.GetReplicas(),
			orDash(b.GetRack()), orDash(b.GetVersion()))
	}
	return g
}
