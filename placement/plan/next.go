package plan

import "github.com/runnel-io/runnel/placement"

// Next plans what to do next.
func Next(v View) Plan { return Plan{} }

// Drain tells how far a broker's drain is and what blocks it.
func Drain(v View, broker int32) DrainStatus { return DrainStatus{Broker: broker} }

// Spread tells how even the cluster is.
func Spread(v View) SpreadStatus { return SpreadStatus{} }

// PlanReplicationFactor plans all moves that bring a topic to a replication factor.
func PlanReplicationFactor(v View, topic string, rf int) (Plan, error) { return Plan{}, nil }

// AddPartitions places more partitions of a topic.
func AddPartitions(s *placement.State, alive map[int32]bool, topic string, more int) (Assignment, error) {
	return Assignment{}, nil
}
