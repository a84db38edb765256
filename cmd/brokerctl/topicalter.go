package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// topicAlteredJSON is the answer of `topic alter`.
type topicAlteredJSON struct {
	topicJSON
	Config map[string]string `json:"config"`
	// Reasons tell why new replicas were placed as they were.
	Reasons []string `json:"reasons"`
}

// alteration is what `topic alter` is asked for.
type alteration struct {
	topic                string
	set                  map[string]string
	unset                []string
	partitions, replicas int32
	fewer                bool // is consented to
}

func (a *app) topicAlterCmd() *cobra.Command {
	var alt alteration
	var config []string
	var yes bool
	cmd := &cobra.Command{
		Use:   "alter NAME",
		Short: "Change a topic's settings, add partitions, change its replication factor",
		Long: "Change a topic's settings, add partitions, change its replication factor. Each of the three is a change of its own, made in\n" +
			"this order. With another replication factor the controller moves replicas by itself: partition list shows how far it is.\n\n" + settingsHelp(),
		Example: "  brokerctl topic alter orders --config retention.ms=86400000 --delete-config segment.ms\n" +
			"  brokerctl topic alter orders --partitions 24\n" +
			"  brokerctl topic alter orders --replication-factor 3",
		Args:              these(nameArg),
		ValidArgsFunction: a.completeTopic,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			alt.topic = args[0]
			if alt.set, err = keyValues("--config", config); err != nil {
				return err
			}
			if err := alt.check(cmd); err != nil {
				return err
			}
			if alt.fewer, err = a.confirmFewer(cmd.Context(), yes, alt); err != nil {
				return err
			}
			var resp *runnelv1.AlterTopicResponse
			err = a.with(connectSpec{}, func(c cluster) (err error) {
				resp, err = a.alter(cmd.Context(), c.Admin(), alt)
				return err
			})
			if err != nil {
				return err
			}
			return a.altered(alt, resp)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&config, "config", nil, "topic setting, name=value (repeatable; listed above)")
	f.StringArrayVar(&alt.unset, "delete-config", nil, "setting to put back to its default, name (repeatable)")
	f.Int32Var(&alt.partitions, "partitions", 0, "number of partitions; it can only grow")
	f.Int32Var(&alt.replicas, "replication-factor", 0, "replicas of each partition")
	f.BoolVar(&yes, "yes", false, "really have fewer replicas, without being asked")
	return cmd
}

func (t *alteration) check(cmd *cobra.Command) error {
	for _, f := range []struct {
		name string
		n    int32
	}{{"partitions", t.partitions}, {"replication-factor", t.replicas}} {
		if cmd.Flags().Changed(f.name) && f.n < 1 {
			return fmt.Errorf("--%s is %d: use 1 or more", f.name, f.n)
		}
	}
	for _, k := range t.unset {
		if _, both := t.set[k]; both {
			return fmt.Errorf("%s is to be set and to be deleted: say one of them", k)
		}
	}
	if len(t.set)+len(t.unset) == 0 && t.partitions == 0 && t.replicas == 0 {
		return errors.New("nothing is to be changed: use --config, --delete-config, --partitions or --replication-factor")
	}
	return nil
}

// confirmFewer asks for consent to fewer replicas than there are, and tells whether there is one. A broker lists the topics that it has heard of. If this one is not
// among them, the controller tells whether there is one, and how many replicas it has is not known.
//
// What a broker has heard may be old: without consent the change itself is refused by what the controller knows.
func (a *app) confirmFewer(ctx context.Context, yes bool, alt alteration) (bool, error) {
	if alt.replicas == 0 || yes {
		return yes, nil
	}
	var now int32
	err := a.ask(ctx, func(ctx context.Context, c cluster) error {
		resp, err := c.Admin().ListTopics(ctx, &runnelv1.ListTopicsRequest{})
		for _, t := range resp.GetTopics() {
			if t.GetName() == alt.topic {
				now = t.GetReplicationFactor()
			}
		}
		if err == nil && now == 0 {
			_, err = c.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: alt.topic})
		}
		return err
	})
	if err != nil || now > 0 && alt.replicas >= now {
		return false, err
	}
	what := fmt.Sprintf("topic %s would have %s of each partition", alt.topic, plural(int64(alt.replicas), "replica"))
	if now == 0 {
		what += ", which may be fewer than it has now"
	} else {
		what += fmt.Sprintf(" instead of %d", now)
	}
	err = a.confirm(ctx, false, what)
	return err == nil, err
}

// alter makes the changes one after the other: a refusal of one says which were made.
func (a *app) alter(ctx context.Context, c admin, alt alteration) (resp *runnelv1.AlterTopicResponse, err error) {
	var reqs []*runnelv1.AlterTopicRequest
	var names []string
	if len(alt.set)+len(alt.unset) > 0 {
		reqs = append(reqs, &runnelv1.AlterTopicRequest{Name: alt.topic, SetConfig: alt.set, DeleteConfig: alt.unset})
		names = append(names, "its settings")
	}
	if alt.partitions != 0 {
		reqs = append(reqs, &runnelv1.AlterTopicRequest{Name: alt.topic, Partitions: alt.partitions})
		names = append(names, "its number of partitions")
	}
	if alt.replicas != 0 {
		reqs = append(reqs, &runnelv1.AlterTopicRequest{Name: alt.topic, ReplicationFactor: alt.replicas, NoFewerReplicas: !alt.fewer})
		names = append(names, "its replication factor")
	}
	var reasons []string
	for i, r := range reqs {
		one, cancel := context.WithTimeout(ctx, a.timeout)
		resp, err = c.AlterTopic(one, r)
		cancel()
		if err != nil {
			if i > 0 {
				err = fmt.Errorf("%w; changed before that: %s", err, strings.Join(names[:i], ", "))
			}
			return nil, err
		}
		reasons = append(reasons, resp.GetReasons()...)
	}
	resp.Reasons = reasons
	return resp, nil
}

func (a *app) altered(alt alteration, resp *runnelv1.AlterTopicResponse) error {
	if alt.partitions != 0 {
		a.tell("warning: records with a key go to other partitions than before\n")
	}
	if alt.replicas != 0 {
		a.warnReplicas(resp.GetReplicationFactor())
	}
	if a.output == "json" {
		t := topicAlteredJSON{
			topicJSON: topicJSON{alt.topic, resp.GetId(), resp.GetPartitions(), resp.GetReplicationFactor()},
			Config:    map[string]string{}, Reasons: list(resp.GetReasons()),
		}
		maps.Copy(t.Config, resp.GetConfig())
		return printJSON(a.out, t)
	}
	if _, err := fmt.Fprintf(a.out, "altered topic %s: %s, replication factor %d\n",
		alt.topic, plural(int64(resp.GetPartitions()), "partition"), resp.GetReplicationFactor()); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(resp.GetConfig())) {
		if _, err := fmt.Fprintf(a.out, "  %s=%s\n", k, resp.GetConfig()[k]); err != nil {
			return err
		}
	}
	if alt.replicas != 0 {
		_, err := fmt.Fprintln(a.out, "replicas move by themselves: brokerctl partition list shows how far they are")
		return err
	}
	return nil
}
