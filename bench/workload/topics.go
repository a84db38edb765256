package workload

import (
	"context"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Topic is one that the clients use.
type Topic struct {
	Name       string
	Partitions int32
	Config     map[string]string
}

// Slot is a partition of the history.
type Slot struct {
	Topic     string
	Partition int32
}

// Slots numbers the partitions of all topics through.
func Slots(topics []Topic) []Slot {
	var out []Slot
	for _, t := range topics {
		for p := range t.Partitions {
			out = append(out, Slot{t.Name, p})
		}
	}
	return out
}

// CreateTopic makes a topic of three replicas a partition, with a client of its own, and answers when every partition has a leader.
func CreateTopic(ctx context.Context, seeds []string, topic string, partitions int32) error {
	return CreateTopics(ctx, Target{Seeds: seeds}, []Topic{{Name: topic, Partitions: partitions}})
}

// CreateTopics makes several.
func CreateTopics(ctx context.Context, t Target, topics []Topic) error {
	cl, err := t.New()
	if err != nil {
		return err
	}
	defer cl.Close()
	for _, t := range topics {
		if _, err := cl.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{Name: t.Name, Partitions: t.Partitions, ReplicationFactor: 3, Config: t.Config}); err != nil {
			return err
		}
	}
	return nil
}
