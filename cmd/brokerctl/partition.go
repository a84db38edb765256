package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func (a *app) partitionCmd() *cobra.Command {
	return noun("partition", "Move partitions' replicas and leaders by hand, and recover a lost majority",
		a.partitionListCmd(), a.partitionMoveCmd(), a.partitionCancelCmd(), a.partitionTransferCmd(), a.partitionRecoverCmd())
}

func (a *app) partitionListCmd() *cobra.Command {
	var topic string
	cmd := &cobra.Command{
		Annotations: asks(), Use: "list", Short: "List the partitions that are moving, how far they are, why, and what they wait for",
		Args: nothing, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var resp *runnelv1.ListMovesResponse
			err := a.ask(cmd.Context(), func(ctx context.Context, c cluster) (err error) {
				resp, err = c.Admin().ListMoves(ctx, &runnelv1.ListMovesRequest{Topic: topic})
				return err
			})
			if err != nil {
				return err
			}
			if n := resp.GetMore(); n > 0 {
				a.tell("warning: %s more are moving than are listed: --topic chooses\n", count(int64(n)))
			}
			if a.output == "json" {
				return printJSON(a.out, movesOf(resp.GetMoves()))
			}
			return moveGrid(resp.GetMoves()).print(a.out)
		},
	}
	cmd.Flags().StringVar(&topic, "topic", "", "only partitions of this topic")
	mustCompleteWith(cmd, "topic", a.completeTopic)
	return cmd
}

func (a *app) partitionMoveCmd() *cobra.Command {
	var to []int32
	var reason string
	cmd := &cobra.Command{
		Use:   "move TOPIC PARTITION --to ID,ID,...",
		Short: "Move a partition's replicas to the brokers named",
		Long: "Move a partition's replicas to the brokers named; the first becomes the preferred leader. Answers when the move is\n" +
			"recorded: partition list shows how far it is, and partition cancel turns it back.",
		Example: "  brokerctl partition move orders 3 --to 4,2,5",
		Args:    these(topicArg, partitionArg), ValidArgsFunction: a.completePartition,
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, n, err := onPartition(args)
			if err != nil {
				return err
			}
			if len(to) == 0 {
				return errors.New("partition move needs --to: the brokers that shall have a replica, the preferred leader first")
			}
			if err := brokerFlag(cmd, "to", to...); err != nil {
				return err
			}
			var m *runnelv1.MoveDescription
			err = a.ask(cmd.Context(), func(ctx context.Context, c cluster) error {
				resp, err := c.Admin().MovePartition(ctx, &runnelv1.MovePartitionRequest{Topic: topic, Partition: n, Brokers: to, Reason: reason})
				m = resp.GetMove()
				if runnelv1.AsError(err).GetReason() == runnelv1.ErrorReason_ERROR_REASON_MOVE_UNDER_WAY {
					return fmt.Errorf("%w (brokerctl partition list shows it, brokerctl partition cancel %s %d turns it back)", err, topic, n)
				}
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, struct {
					Move *moveJSON `json:"move"` // null if the replicas are there already
				}{orNull(m, moveOf)})
			}
			if m == nil {
				_, err = fmt.Fprintf(a.out, "the replicas of %s/%d are on brokers %s: no data is to be moved\n", topic, n, ids(to))
				return err
			}
			_, err = fmt.Fprintf(a.out, "moving %s/%d from brokers %s to %s: brokerctl partition list shows how far it is\n", topic, n, ids(m.GetFrom()), ids(m.GetTo()))
			return err
		},
	}
	f := cmd.Flags()
	f.Int32SliceVar(&to, "to", nil, "the brokers that shall have a replica, the preferred leader first")
	f.StringVar(&reason, "reason", "", "why, for whoever looks at it")
	mustCompleteWith(cmd, "to", a.completeBrokers)
	return cmd
}

func (a *app) partitionCancelCmd() *cobra.Command {
	var move uint64
	cmd := &cobra.Command{
		Use: "cancel TOPIC PARTITION", Short: "Turn a partition's move back",
		Long: "Turn a partition's move back: its replicas stay where they were, and what the new ones have is deleted. A move in phase\n" +
			"joint or left can only go forward; move the partition back afterwards. With --move only that move is turned back, and not\n" +
			"one that has begun since.",
		Example: "  brokerctl partition cancel orders 3 --move 17",
		Args:    these(topicArg, partitionArg), ValidArgsFunction: a.completePartition,
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, n, err := onPartition(args)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("move") && move == 0 {
				return errors.New("--move is 0: moves' ids begin at 1, as partition list shows")
			}
			err = a.ask(cmd.Context(), func(ctx context.Context, c cluster) error {
				_, err := c.Admin().CancelMove(ctx, &runnelv1.CancelMoveRequest{Topic: topic, Partition: n, Move: move})
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, struct {
					Topic     string `json:"topic"`
					Partition int32  `json:"partition"`
					Cancelled bool   `json:"cancelled"`
				}{topic, n, true})
			}
			_, err = fmt.Fprintf(a.out, "cancelled the move of %s/%d\n", topic, n)
			return err
		},
	}
	cmd.Flags().Uint64Var(&move, "move", 0, "the move's id, as partition list shows it (default the one under way)")
	return cmd
}

func (a *app) partitionTransferCmd() *cobra.Command {
	var to int32
	cmd := &cobra.Command{
		Use: "transfer-leadership TOPIC PARTITION", Short: "Have a partition's leader hand over to another replica",
		Long: "Have a partition's leader hand over to the replica on the broker --to, or on the preferred leader. The controller moves leaders\n" +
			"back to preferred ones by itself, in time: partition move with another order of brokers changes which one is preferred.",
		Args: these(topicArg, partitionArg), ValidArgsFunction: a.completePartition,
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, n, err := onPartition(args)
			if err != nil {
				return err
			}
			if err := brokerFlag(cmd, "to", to); err != nil {
				return err
			}
			var leader int32
			err = a.ask(cmd.Context(), func(ctx context.Context, c cluster) error {
				resp, err := c.Admin().TransferLeadership(ctx, &runnelv1.TransferLeadershipRequest{Topic: topic, Partition: n, To: to})
				leader = resp.GetLeader()
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, struct {
					Topic     string `json:"topic"`
					Partition int32  `json:"partition"`
					Leader    int32  `json:"leader"`
				}{topic, n, leader})
			}
			_, err = fmt.Fprintf(a.out, "broker %d leads %s/%d\n", leader, topic, n)
			return err
		},
	}
	cmd.Flags().Int32Var(&to, "to", 0, "the broker that shall lead (default the partition's preferred leader)")
	mustCompleteWith(cmd, "to", a.completeBrokers)
	return cmd
}
