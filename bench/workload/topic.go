package workload

import (
	"context"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// CreateTopic makes a topic of three replicas a partition, with a client of its own, and answers when every partition has a leader.
func CreateTopic(ctx context.Context, seeds []string, topic string, partitions int32) error {
	cl, err := client.New(seeds)
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = cl.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{Name: topic, Partitions: partitions, ReplicationFactor: 3})
	return err
}
