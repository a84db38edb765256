package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func (a *app) clusterCmd() *cobra.Command {
	return noun("cluster", "Show the cluster's state", a.clusterStatusCmd())
}

// clusterStatusJSON is the answer of `cluster status`.
type clusterStatusJSON struct {
	ClusterID string `json:"cluster_id"`
	// Controller is a broker id; 0 or -1: none is known.
	Controller      int32               `json:"controller"`
	Brokers         []clusterBrokerJSON `json:"brokers"`
	Topics          int32               `json:"topics"`
	Partitions      int32               `json:"partitions"`
	Leaderless      []problemJSON       `json:"leaderless"`
	UnderReplicated []problemJSON       `json:"under_replicated"`
}

type clusterBrokerJSON struct {
	brokerJSON
	PeerAddress string `json:"peer_address"`
	Version     string `json:"version"`
	Rack        string `json:"rack"`
}

type problemJSON struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Reason    string `json:"reason"`
}

func (a *app) clusterStatusCmd() *cobra.Command {
	return &cobra.Command{
		Annotations: asks(), Use: "status", Short: "Show brokers, controller, and the partitions in trouble with the reason",
		Args: nothing, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var resp *runnelv1.ClusterStatusResponse
			err := a.ask(cmd.Context(), func(ctx context.Context, c cluster) (err error) {
				resp, err = c.Admin().ClusterStatus(ctx, &runnelv1.ClusterStatusRequest{})
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, statusJSON(resp))
			}
			return statusTable(a.out, resp)
		},
	}
}

func statusJSON(resp *runnelv1.ClusterStatusResponse) clusterStatusJSON {
	s := clusterStatusJSON{
		ClusterID: resp.GetClusterId(), Controller: resp.GetControllerId(), Brokers: []clusterBrokerJSON{},
		Topics: resp.GetTopics(), Partitions: resp.GetPartitions(),
		Leaderless: problems(resp.GetLeaderless()), UnderReplicated: problems(resp.GetUnderReplicated()),
	}
	for _, b := range resp.GetBrokers() {
		s.Brokers = append(s.Brokers, clusterBrokerJSON{
			brokerJSON:  brokerJSON{b.GetId(), b.GetAddress(), b.GetAlive(), b.GetLeaders(), b.GetReplicas()},
			PeerAddress: b.GetPeerAddress(), Version: b.GetVersion(), Rack: b.GetRack(),
		})
	}
	return s
}

func problems(list []*runnelv1.PartitionProblem) []problemJSON {
	ps := []problemJSON{}
	for _, p := range list {
		ps = append(ps, problemJSON{p.GetTopic(), p.GetPartition(), p.GetReason()})
	}
	return ps
}

func statusTable(w io.Writer, resp *runnelv1.ClusterStatusResponse) error {
	controller := "none"
	if id := resp.GetControllerId(); id > 0 {
		controller = fmt.Sprintf("broker %d", id)
	}
	_, err := fmt.Fprintf(w, "cluster %s\ncontroller: %s\n%s, %s, %s leaderless, %s under-replicated\n\n",
		resp.GetClusterId(), controller, plural(int64(resp.GetTopics()), "topic"), plural(int64(resp.GetPartitions()), "partition"),
		count(int64(len(resp.GetLeaderless()))), count(int64(len(resp.GetUnderReplicated()))))
	if err != nil {
		return err
	}
	if err := brokerGrid(resp.GetBrokers()).print(w); err != nil {
		return err
	}
	if len(resp.GetLeaderless())+len(resp.GetUnderReplicated()) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	g := newGrid("PROBLEM", "TOPIC", "PARTITION", "REASON")
	for _, p := range resp.GetLeaderless() {
		g.add("leaderless", shortName(p.GetTopic()), p.GetPartition(), orDash(p.GetReason()))
	}
	for _, p := range resp.GetUnderReplicated() {
		g.add("under-replicated", shortName(p.GetTopic()), p.GetPartition(), orDash(p.GetReason()))
	}
	return g.print(w)
}
