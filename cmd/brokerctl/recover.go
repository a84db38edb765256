package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// recoverJSON is the answer of `partition recover`.
type recoverJSON struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Recovered: it has been done. Otherwise Kept and Lost are what would be kept and lost.
	Recovered bool `json:"recovered"`
	// Kept is null if the partition begins anew.
	Kept *replicaJSON  `json:"kept"`
	Lost []replicaJSON `json:"lost"`
}

type replicaJSON struct {
	Replica uint64 `json:"replica"`
	Broker  int32  `json:"broker"`
	Alive   bool   `json:"alive"`
	Trouble string `json:"trouble"`
	// The offsets are -1 if the broker did not tell.
	LogStartOffset int64 `json:"log_start_offset"`
	HighWatermark  int64 `json:"high_watermark"`
	Bytes          int64 `json:"bytes"`
}

func replicaOf(r *runnelv1.ReplicaDescription) replicaJSON {
	return replicaJSON{r.GetReplica(), r.GetBroker(), r.GetAlive(), r.GetTrouble(), r.GetLogStartOffset(), r.GetHighWatermark(), r.GetBytes()}
}

func (a *app) partitionRecoverCmd() *cobra.Command {
	var keep int32
	var accept, yes, anew bool
	var note string
	cmd := &cobra.Command{
		Use:   "recover TOPIC PARTITION [--accept-data-loss]",
		Short: "Give up a partition's majority that is lost for good, and go on with one replica",
		Long: "Give up a partition's majority that is lost for good, and go on with one replica. Use it only when the other brokers or\n" +
			"their disks will never come back: what only they hold, acknowledged records among it, is lost. Without --accept-data-loss it\n" +
			"changes nothing and shows what would be lost. Afterwards the partition is copied to other brokers by itself. Where no replica\n" +
			"is left at all, --anew begins the partition again, empty.",
		Example: "  brokerctl partition recover orders 3\n" +
			"  brokerctl partition recover orders 3 --accept-data-loss --note 'rack b burnt down'",
		Args: these(topicArg, partitionArg), ValidArgsFunction: a.completePartition,
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, n, err := onPartition(args)
			if err != nil {
				return err
			}
			if err := brokerFlag(cmd, "keep", keep); err != nil {
				return err
			}
			if yes && !accept {
				return fmt.Errorf("--yes alone recovers nothing: say --accept-data-loss too")
			}
			if anew && keep != 0 {
				return errors.New("--anew keeps nothing: leave --keep out, or --anew")
			}
			resp, err := a.recover(cmd.Context(), &runnelv1.RecoverPartitionRequest{Topic: topic, Partition: n, Keep: keep, Anew: anew})
			if err != nil {
				return err
			}
			if accept {
				// What is lost is shown before the question, to whoever answers it. With --yes nobody has to see it.
				if err := wouldLose(a.errOut, topic, n, resp); err != nil && !yes {
					return fmt.Errorf("showing what would be lost: %w", err)
				}
				if err := a.confirm(cmd.Context(), yes, consent(topic, n, resp)); err != nil {
					return err
				}
				req := &runnelv1.RecoverPartitionRequest{
					Topic: topic, Partition: n, Keep: resp.GetKept().GetBroker(), Anew: anew, AcceptDataLoss: true, Note: note,
				}
				for _, l := range resp.GetLost() {
					req.Lost = append(req.Lost, l.GetReplica())
				}
				done, err := a.recover(cmd.Context(), req)
				if err != nil {
					return err
				}
				resp.Recovered = done.GetRecovered()
			}
			if a.output == "json" {
				return printJSON(a.out, recoverJSON{
					Topic: topic, Partition: n, Recovered: resp.GetRecovered(), Kept: orNull(resp.GetKept(), replicaOf), Lost: each(resp.GetLost(), replicaOf),
				})
			}
			if resp.GetRecovered() && resp.GetKept() == nil {
				_, err = fmt.Fprintf(a.out, "recovered %s/%d: it begins anew, empty\n", topic, n)
				return err
			}
			if resp.GetRecovered() {
				_, err = fmt.Fprintf(a.out, "recovered %s/%d: it goes on with what broker %d has\n", topic, n, resp.GetKept().GetBroker())
				return err
			}
			if err := wouldLose(a.out, topic, n, resp); err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, "\nnothing was changed: --accept-data-loss recovers it")
			return err
		},
	}
	f := cmd.Flags()
	f.Int32Var(&keep, "keep", 0, "the broker whose replica goes on (default the one that has most)")
	f.BoolVar(&anew, "anew", false, "where no replica is left: begin again, empty")
	f.BoolVar(&accept, "accept-data-loss", false, "recover it, and lose what is shown")
	f.BoolVar(&yes, "yes", false, "with --accept-data-loss: without being asked")
	f.StringVar(&note, "note", "", "who does it and why, for the controller's log")
	mustCompleteWith(cmd, "keep", a.completeBrokers)
	return cmd
}

func (a *app) recover(ctx context.Context, req *runnelv1.RecoverPartitionRequest) (resp *runnelv1.RecoverPartitionResponse, err error) {
	err = a.ask(ctx, func(ctx context.Context, c cluster) (err error) {
		resp, err = c.Admin().RecoverPartition(ctx, req)
		return err
	})
	return resp, err
}

// wouldLose tells what a recovery keeps and what it loses.
func wouldLose(w io.Writer, topic string, n int32, r *runnelv1.RecoverPartitionResponse) error {
	if _, err := fmt.Fprintln(w, wouldGoOn(topic, n, r)); err != nil {
		return err
	}
	g := newGrid("BROKER", "REPLICA", "LOG-START", "HIGH-WATERMARK", "SIZE", "TROUBLE")
	for _, l := range r.GetLost() {
		g.add(l.GetBroker(), l.GetReplica(), orNone(l.GetLogStartOffset(), "?"), orNone(l.GetHighWatermark(), "?"), sizeOrDash(l.GetBytes()), orDash(l.GetTrouble()))
	}
	return g.print(w)
}

func wouldGoOn(topic string, n int32, r *runnelv1.RecoverPartitionResponse) string {
	k := r.GetKept()
	if k == nil {
		return fmt.Sprintf("%s/%d would begin anew, empty, at offset 0.\nAll its records would be lost for good, with these replicas:\n", topic, n)
	}
	has := "no records are known to be committed there"
	if k.GetHighWatermark() > k.GetLogStartOffset() {
		has = fmt.Sprintf("offsets %d to %d are known to be committed there", k.GetLogStartOffset(), k.GetHighWatermark()-1)
	}
	return fmt.Sprintf("%s/%d would go on with the replica on broker %d alone: %s%s.\n"+
		"What only these replicas hold would be lost for good, acknowledged records among it:\n", topic, n, k.GetBroker(), has, ofSize(k.GetBytes()))
}

// consent is what is asked for.
func consent(topic string, n int32, r *runnelv1.RecoverPartitionResponse) string {
	if r.GetKept() == nil {
		return fmt.Sprintf("beginning %s/%d anew loses all its records", topic, n)
	}
	return fmt.Sprintf("recovering %s/%d loses what only those replicas hold", topic, n)
}

func sizeOrDash(n int64) right {
	if n <= 0 {
		return "-"
	}
	return right(size(n))
}
