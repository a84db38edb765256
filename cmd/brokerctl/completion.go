package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// completeTopic offers the cluster's topics for a command's first argument.
func (a *app) completeTopic(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, args, func(ctx context.Context, c cluster) (names []string, err error) {
		resp, err := c.Admin().ListTopics(ctx, &runnelv1.ListTopicsRequest{})
		for _, t := range resp.GetTopics() {
			names = append(names, t.GetName())
		}
		return names, err
	})
}

// completePartition offers topics, and then the partitions of the one named.
func (a *app) completePartition(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeTopic(cmd, args, typed)
	}
	return a.complete(cmd, args[1:], func(ctx context.Context, c cluster) (numbers []string, err error) {
		resp, err := c.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: args[0]})
		for _, p := range resp.GetPartitions() {
			numbers = append(numbers, fmt.Sprint(p.GetPartition()))
		}
		return numbers, err
	})
}

// completeBroker offers the cluster's brokers for a command's first argument.
func (a *app) completeBroker(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, args, brokerNames)
}

// completeBrokers offers them for a flag.
func (a *app) completeBrokers(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, nil, brokerNames)
}

func brokerNames(ctx context.Context, c cluster) (names []string, err error) {
	resp, err := c.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	for _, b := range resp.GetBrokers() {
		names = append(names, fmt.Sprintf("%d\t%s", b.GetId(), b.GetAddress()))
	}
	return names, err
}

// complete offers what the cluster answers, for the first of the arguments left.
func (a *app) complete(cmd *cobra.Command, args []string, f func(context.Context, cluster) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	a.timeout = completionTimeout
	var names []string
	err := a.ask(ctx, func(ctx context.Context, c cluster) (err error) {
		names, err = f(ctx, c)
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
