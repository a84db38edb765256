package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func (a *app) clusterCmd() *cobra.Command {
	return noun("cluster", "Show the cluster's state and settings", a.clusterStatusCmd(), a.clusterConfigCmd())
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
	// Moves are under way, Blocked is what should be done and cannot be; the *More count what is not listed.
	Moves       []moveJSON    `json:"moves"`
	MovesMore   int32         `json:"moves_more"`
	Blocked     []blockedJSON `json:"blocked"`
	BlockedMore int32         `json:"blocked_more"`
	// PlacementUnknown is why the controller told nothing of Moves and Blocked.
	PlacementUnknown string `json:"placement_unknown,omitempty"`
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
			if why := resp.GetPlacementUnknown(); why != "" {
				a.tell("warning: the controller does not tell of moves and of what is blocked: %s\n", why)
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
		Moves: movesOf(resp.GetMoves()), MovesMore: resp.GetMovesMore(), Blocked: blockedOf(resp.GetBlocked()), BlockedMore: resp.GetBlockedMore(),
		PlacementUnknown: resp.GetPlacementUnknown(),
	}
	for _, b := range resp.GetBrokers() {
		s.Brokers = append(s.Brokers, clusterBrokerJSON{
			brokerJSON:  brokerOf(b),
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
	moves, blocked := int64(len(resp.GetMoves()))+int64(resp.GetMovesMore()), int64(len(resp.GetBlocked()))+int64(resp.GetBlockedMore())
	blockedText := count(blocked)
	if resp.GetPlacementUnknown() != "" {
		blockedText = "?"
	}
	_, err := fmt.Fprintf(w, "cluster %s\ncontroller: %s\n%s, %s, %s leaderless, %s under-replicated, %s moving, %s blocked\n\n",
		resp.GetClusterId(), controller, plural(int64(resp.GetTopics()), "topic"), plural(int64(resp.GetPartitions()), "partition"),
		count(int64(len(resp.GetLeaderless()))), count(int64(len(resp.GetUnderReplicated()))), count(moves), blockedText)
	if err != nil {
		return err
	}
	if err := brokerGrid(resp.GetBrokers()).print(w); err != nil {
		return err
	}
	problems := newGrid("PROBLEM", "TOPIC", "PARTITION", "REASON")
	for _, p := range resp.GetLeaderless() {
		problems.add("leaderless", shortName(p.GetTopic()), p.GetPartition(), orDash(p.GetReason()))
	}
	for _, p := range resp.GetUnderReplicated() {
		problems.add("under-replicated", shortName(p.GetTopic()), p.GetPartition(), orDash(p.GetReason()))
	}
	if err := problems.section(w, 0); err != nil {
		return err
	}
	if err := moveGrid(resp.GetMoves()).section(w, resp.GetMovesMore()); err != nil {
		return err
	}
	return blockedGrid(resp.GetBlocked()).section(w, resp.GetBlockedMore())
}
