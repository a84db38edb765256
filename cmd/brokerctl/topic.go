package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func (a *app) topicCmd() *cobra.Command {
	return noun("topic", "Create, list, describe, alter and delete topics",
		a.topicCreateCmd(), a.topicListCmd(), a.topicDescribeCmd(), a.topicAlterCmd(), a.topicDeleteCmd())
}

// topicJSON is an item of `topic list` and the answer of `topic create`.
type topicJSON struct {
	Name              string `json:"name"`
	ID                uint64 `json:"id"`
	Partitions        int32  `json:"partitions"`
	ReplicationFactor int32  `json:"replication_factor"`
}

// topicDescriptionJSON is the answer of `topic describe`.
type topicDescriptionJSON struct {
	Name       string            `json:"name"`
	ID         uint64            `json:"id"`
	Config     map[string]string `json:"config"`
	Partitions []partitionJSON   `json:"partitions"`
}

type partitionJSON struct {
	Partition int32 `json:"partition"`
	// Leader is a broker id; -1: none.
	Leader int32 `json:"leader"`
	Term   int64 `json:"term"`
	// Replicas and Learners are broker ids; the first replica is the preferred leader.
	Replicas []int32 `json:"replicas"`
	Learners []int32 `json:"learners"`
	// The offsets are -1 if the leader did not answer.
	LogStartOffset int64 `json:"log_start_offset"`
	HighWatermark  int64 `json:"high_watermark"`
	// Move is under way; absent if none is. Bytes and what it waits for are with `partition list`.
	Move *moveJSON `json:"move,omitempty"`
}

func (a *app) topicCreateCmd() *cobra.Command {
	var partitions, replicas int32
	var config []string
	cmd := &cobra.Command{
		Use:               "create NAME",
		Short:             "Create a topic; answers when every partition has a leader",
		Long:              "Create a topic; answers when every partition has a leader.\n\n" + settingsHelp(),
		Example:           "  brokerctl topic create orders --partitions 12 --replication-factor 3 --config retention.ms=86400000",
		Args:              these(nameArg),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := keyValues("--config", config)
			if err != nil {
				return err
			}
			if partitions < 1 {
				return fmt.Errorf("--partitions is %d: use 1 or more", partitions)
			}
			if replicas < 0 || cmd.Flags().Changed("replication-factor") && replicas == 0 {
				return fmt.Errorf("--replication-factor is %d: use 1 or more, or leave it out for the smaller of 3 and the number of brokers", replicas)
			}
			var resp *runnelv1.CreateTopicResponse
			err = a.ask(cmd.Context(), func(ctx context.Context, c cluster) (err error) {
				resp, err = c.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{
					Name: args[0], Partitions: partitions, ReplicationFactor: replicas, Config: settings,
				})
				return err
			})
			if err != nil {
				return err
			}
			a.warnReplicas(resp.GetReplicationFactor())
			if a.output == "json" {
				return printJSON(a.out, topicJSON{args[0], resp.GetId(), resp.GetPartitions(), resp.GetReplicationFactor()})
			}
			_, err = fmt.Fprintf(a.out, "created topic %s: %s, replication factor %d\n",
				args[0], plural(int64(resp.GetPartitions()), "partition"), resp.GetReplicationFactor())
			return err
		},
	}
	f := cmd.Flags()
	f.Int32Var(&partitions, "partitions", 1, "number of partitions")
	f.Int32Var(&replicas, "replication-factor", 0, "replicas of each partition (default the smaller of 3 and the number of brokers)")
	f.StringArrayVar(&config, "config", nil, "topic setting, name=value (repeatable; listed above)")
	return cmd
}

// warnReplicas says what a topic with few replicas cannot survive.
func (a *app) warnReplicas(replicas int32) {
	switch replicas {
	case 1:
		a.tell("warning: replication factor 1: records are lost with their broker's disk; use 3 on three or more brokers\n")
	case 2:
		a.tell("warning: replication factor 2: both brokers must be up to accept a record; use 3 on three or more brokers\n")
	}
}

func (a *app) topicListCmd() *cobra.Command {
	return &cobra.Command{
		Annotations: asks(), Use: "list", Short: "List the topics", Args: nothing, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			topics := []topicJSON{}
			err := a.ask(cmd.Context(), func(ctx context.Context, c cluster) error {
				resp, err := c.Admin().ListTopics(ctx, &runnelv1.ListTopicsRequest{})
				for _, t := range resp.GetTopics() {
					topics = append(topics, topicJSON{t.GetName(), t.GetId(), t.GetPartitions(), t.GetReplicationFactor()})
				}
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, topics)
			}
			g := newGrid("NAME", "ID", "PARTITIONS", "REPLICATION-FACTOR")
			for _, t := range topics {
				g.add(shortName(t.Name), t.ID, t.Partitions, t.ReplicationFactor)
			}
			return g.print(a.out)
		},
	}
}

func (a *app) topicDescribeCmd() *cobra.Command {
	return &cobra.Command{
		Annotations: asks(), Use: "describe NAME", Short: "Show a topic's settings, replicas, leaders and offsets",
		Args: these(nameArg), ValidArgsFunction: a.completeTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			var resp *runnelv1.DescribeTopicResponse
			err := a.ask(cmd.Context(), func(ctx context.Context, c cluster) (err error) {
				resp, err = c.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: args[0]})
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, describeJSON(resp))
			}
			return describeTable(a.out, resp)
		},
	}
}

func describeJSON(resp *runnelv1.DescribeTopicResponse) topicDescriptionJSON {
	d := topicDescriptionJSON{Name: resp.GetName(), ID: resp.GetId(), Config: map[string]string{}, Partitions: []partitionJSON{}}
	maps.Copy(d.Config, resp.GetConfig())
	for _, p := range resp.GetPartitions() {
		d.Partitions = append(d.Partitions, partitionJSON{
			Partition: p.GetPartition(), Leader: p.GetLeader(), Term: p.GetTerm(),
			Replicas: append([]int32{}, p.GetReplicas()...), Learners: append([]int32{}, p.GetLearners()...),
			LogStartOffset: p.GetLogStartOffset(), HighWatermark: p.GetHighWatermark(), Move: orNull(p.GetMove(), moveOf),
		})
	}
	return d
}

func describeTable(w io.Writer, resp *runnelv1.DescribeTopicResponse) error {
	if _, err := fmt.Fprintf(w, "topic %s, id %d\n", resp.GetName(), resp.GetId()); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(resp.GetConfig())) {
		if _, err := fmt.Fprintf(w, "  %s=%s\n", k, resp.GetConfig()[k]); err != nil {
			return err
		}
	}
	g := newGrid("PARTITION", "LEADER", "TERM", "REPLICAS", "IN-SYNC", "LEARNERS", "LOG-START", "HIGH-WATERMARK", "REASON")
	for _, p := range resp.GetPartitions() {
		g.add(p.GetPartition(), orNone(int64(p.GetLeader()), "none"), p.GetTerm(), ids(p.GetReplicas()), ids(p.GetInSync()),
			ids(p.GetLearners()), orNone(p.GetLogStartOffset(), "?"), orNone(p.GetHighWatermark(), "?"), orDash(reasonOf(p)))
	}
	return g.print(w)
}

// reasonOf is what is wrong with a partition, and where it moves.
func reasonOf(p *runnelv1.PartitionDescription) string {
	m := p.GetMove()
	if m == nil {
		return p.GetReason()
	}
	moving := fmt.Sprintf("moving to %s: %s", ids(m.GetTo()), phase(m))
	if p.GetReason() == "" {
		return moving
	}
	return p.GetReason() + "; " + moving
}

func (a *app) topicDeleteCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME --yes", Short: "Delete a topic and all its records",
		Args: these(nameArg), ValidArgsFunction: a.completeTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(cmd.Context(), yes, fmt.Sprintf("deleting topic %s loses all its records", args[0])); err != nil {
				return err
			}
			err := a.ask(cmd.Context(), func(ctx context.Context, c cluster) error {
				_, err := c.Admin().DeleteTopic(ctx, &runnelv1.DeleteTopicRequest{Name: args[0]})
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, struct {
					Name    string `json:"name"`
					Deleted bool   `json:"deleted"`
				}{args[0], true})
			}
			_, err = fmt.Fprintf(a.out, "deleted topic %s\n", args[0])
			return err
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really delete, without being asked")
	return cmd
}
