package broker_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// everything has brokers show all series there are.
var everything = brokertest.Edit(func(_ int, c *broker.Config) { c.PartitionMetrics, c.KafkaMetrics = true, true })

// want is a sum over all running brokers.
type want struct {
	name   string
	labels string // separated by blanks
	ok     func(float64) bool
	what   string
}

func is(name, labels string, v float64) want {
	return want{name, labels, func(got float64) bool { return got == v }, fmt.Sprint(v)}
}

func least(name, labels string, v float64) want {
	return want{name, labels, func(got float64) bool { return got >= v }, fmt.Sprintf("%v or more", v)}
}

// shows waits until the running brokers together show all that is wanted.
func shows(t *testing.T, c *brokertest.Cluster, when string, all ...want) {
	t.Helper()
	var missing []string
	c.Eventually(func() bool {
		s := scraped(t, c)
		missing = nil
		for _, w := range all {
			got, samples := s.sum(w.name, strings.Fields(w.labels)...)
			if samples == 0 || !w.ok(got) {
				missing = append(missing, fmt.Sprintf("%s{%s} is %v in %d samples, want %s", w.name, w.labels, got, samples, w.what))
			}
		}
		return len(missing) == 0
	}, func() string { return when + ":\n" + strings.Join(missing, "\n") })
}

// Each metric that operators' dashboards and alerts go by moves by its cause, and by the right amount where there is one.
func TestMetricsMoveByTheirCauses(t *testing.T) {
	t.Parallel()
	c := elastic(t, 4, never, everything, brokertest.Edit(func(n int, c *broker.Config) {
		c.ManualPlacement, c.Rack = true, fmt.Sprint("rack", n)
		c.RecoveryRate, c.DiskReserve, c.ProduceBytes = 32<<20, 1<<20, 48<<20
	}))
	cl := dial(t, c)
	shows(t, c, "at rest",
		is("runnel_build_info", `go_version="go`, 4), is("runnel_broker_info", `rack="rack2"`, 1), is("runnel_broker_ready", "", 4),
		is("runnel_broker_produce_budget_bytes", "", 4*48<<20), is("runnel_broker_produce_budget_used_bytes", "", 0),
		least("runnel_broker_disk_total_bytes", "", 4<<20), is("runnel_broker_disk_reserve_bytes", "", 4<<20), is("runnel_recovery_rate_bytes", "", 4*32<<20),
		is("runnel_raftlog_tail_budget_bytes", "", 4*32<<20), is("runnel_controller_leader", "", 1), is("runnel_controller_leads", "", 1),
		is("runnel_controller_topics", "", 0), is("runnel_controller_brokers", `state="alive"`, 4), is("runnel_controller_brokers", `state="silent"`, 0),
		is("runnel_gossip_members", "", 16), is("runnel_gossip_false_suspicions_total", "", 0), least("runnel_gossip_health_score", "", 0),
		is("runnel_raft_leaderless_groups", "", 0), is("runnel_raft_stalled_groups", "", 0), least("runnel_raft_queue_depth", `queue="scheduler"`, 0),
		is("kafka_brokers", "", 4), is("kafka_broker_info", "", 4),
	)
	create(t, cl, "orders", 6, 3)
	produce(t, cl, "orders", 0, 1000)
	readAll(t, cl, "orders")
	shows(t, c, "after 1,000 records", quiet(1000)...)
	shows(t, c, "after 1,000 records",
		least("runnel_broker_produce_seconds_count", "", 1), least("runnel_broker_fetch_seconds_count", "", 1), least("runnel_broker_fetch_bytes_total", "", 1000),
		least("runnel_raft_commit_seconds_count", "", 6), least("runnel_raftlog_sync_seconds_count", "", 18), least("runnel_raft_append_writes_count", "", 18),
		is("runnel_topic_produced_records_total", `topic="orders"`, 1000), least("runnel_topic_produced_bytes_total", `topic="orders"`, 1000),
		least("runnel_topic_fetched_bytes_total", `topic="orders"`, 1000), is("runnel_topic_segments", `topic="orders"`, 18),
		least("runnel_topic_bytes", `topic="orders"`, 3000), least("runnel_raftlog_bytes", "", 3000), least("runnel_raftlog_segments", "", 22),
		least("runnel_partition_bytes", `topic="orders"`, 3000), is("runnel_partition_segments", "", 18), is("runnel_partition_log_start_offset", "", 0),
		least("runnel_partition_term", "", 6), least("runnel_partition_leader", "", 6), is("runnel_controller_actions_total", `action="create_topic"`, 1),
		is("kafka_topic_partition_oldest_offset", "", 0), least("kafka_topic_partition_leader", "", 6), least("kafka_topic_partition_leader_is_preferred", "", 1),
	)

	t.Run("a broker is away", func(t *testing.T) {
		for n := 1; n <= 4; n++ {
			if status, text := get(t, c, n, "/readyz?replicated"); status != http.StatusOK {
				t.Errorf("nothing lacks a replica, and broker %d says %d %s", n, status, text)
			}
		}
		n := follower(t, c, cl)
		id := c.Broker(n).ID()
		held := 0
		for _, p := range c.Broker(leaderOfController(t, c)).State().Topics["orders"].Partitions {
			if _, here := p.On(id); here {
				held++
			}
		}
		c.Crash(n)
		shows(t, c, "with a dead broker",
			is("runnel_controller_brokers", `state="silent"`, 1), is("runnel_controller_brokers", `state="alive"`, 3),
			is("runnel_controller_under_replicated_partitions", "", float64(held)), is("runnel_controller_leaderless_partitions", "", 0),
			is("runnel_topic_under_replicated_partitions", `topic="orders"`, float64(held)), is("runnel_topic_leaders", "", 6),
			is("runnel_partition_in_sync_replicas", "", float64(18-held)), is("runnel_partition_replicas", "", 18),
			is("kafka_topic_partition_under_replicated_partition", "", float64(held)), least("runnel_raft_silences_total", "", 3),
		)
		if status, text := get(t, c, leaderOfController(t, c), "/readyz?replicated"); status != http.StatusOK {
			t.Errorf("a broker was taken out of service for another one's death: %d %s", status, text)
		}
		c.Restart(n)
		shows(t, c, "with all brokers again", quiet(1000)...)
	})

	t.Run("a replica moves", func(t *testing.T) {
		p := partitionOf(t, cl, "orders", 0).GetReplicas()
		free := int32(1)
		for contains(p, free) {
			free++
		}
		move(t, c, cl, []int32{p[0], p[1], free})
		shows(t, c, "after a move",
			is("runnel_controller_moves_finished_total", `result="done"`, 1), is("runnel_controller_moves", "", 0), is("runnel_controller_actions_total", `action="finish_move"`, 1),
			least("runnel_recovery_received_bytes_total", "", 1000), least("runnel_recovery_sent_bytes_total", "", 1000),
		)
		shows(t, c, "after a move", quiet(1000)...)
	})

	t.Run("a broker drains", func(t *testing.T) {
		if _, err := cl.Admin().DrainBroker(patient(t), &runnelv1.DrainBrokerRequest{Broker: 2}); err != nil {
			t.Fatal(err)
		}
		shows(t, c, "with one that drains", is("runnel_controller_brokers", `state="draining"`, 1), is("runnel_controller_brokers", "", 4))
	})

	t.Run("a topic is deleted", func(t *testing.T) {
		if _, err := cl.Admin().DeleteTopic(patient(t), &runnelv1.DeleteTopicRequest{Name: "orders"}); err != nil {
			t.Fatal(err)
		}
		c.Eventually(func() bool {
			s := scraped(t, c)
			for _, name := range []string{"runnel_topic_replicas", "runnel_topic_produced_records_total", "runnel_partition_bytes", "kafka_topic_partitions"} {
				if _, samples := s.sum(name); samples > 0 {
					return false
				}
			}
			return true
		}, func() string { return "series of a deleted topic are left" })
	})
}

// quiet is what six partitions with three replicas show when nothing is amiss.
func quiet(records float64) []want {
	return []want{
		is("runnel_topic_replicas", `topic="orders"`, 18), is("runnel_topic_leaders", `topic="orders"`, 6), is("runnel_topic_under_replicated_partitions", `topic="orders"`, 0),
		is("runnel_raft_unapplied_entries", "", 0), is("runnel_raft_leaderless_groups", "", 0), is("runnel_partition_unapplied_entries", "", 0),
		is("runnel_partition_high_watermark", `topic="orders"`, records), is("runnel_partition_replicas", "", 18), is("runnel_partition_in_sync_replicas", "", 18),
		is("runnel_controller_topics", "", 1), is("runnel_controller_partitions", "", 6), is("runnel_controller_replicas", "", 18),
		is("runnel_controller_leaderless_partitions", "", 0), is("runnel_controller_under_replicated_partitions", "", 0),
		is("kafka_topic_partitions", `topic="orders"`, 6), is("kafka_topic_partition_current_offset", "", records), is("kafka_topic_partition_replicas", "", 18),
		is("kafka_topic_partition_in_sync_replica", "", 18), is("kafka_topic_partition_under_replicated_partition", "", 0),
	}
}

func contains(ids []int32, id int32) bool {
	for _, i := range ids {
		if i == id {
			return true
		}
	}
	return false
}

// leaderOfController is the number of the broker that leads the controller group.
func leaderOfController(t *testing.T, c *brokertest.Cluster) int {
	t.Helper()
	lead := 0
	c.Eventually(func() bool {
		for n := 1; n <= c.Size(); n++ {
			if b := c.Broker(n); b != nil && b.LeadsController() {
				lead = n
				return true
			}
		}
		return false
	}, func() string { return "nobody leads the controller group" })
	return lead
}

// follower is the number of a broker that has replicas of "orders" and does not lead the controller group.
func follower(t *testing.T, c *brokertest.Cluster, cl *client.Client) int {
	t.Helper()
	lead := leaderOfController(t, c)
	for _, id := range partitionOf(t, cl, "orders", 0).GetReplicas() {
		if n := c.ByID(id); n != lead {
			return n
		}
	}
	t.Fatal("all replicas are on one broker")
	return 0
}

func TestEntriesWithoutAMajorityShow(t *testing.T) {
	t.Parallel()
	c := elastic(t, 3, never)
	cl := dial(t, c)
	create(t, cl, "orders", 1, 3)
	produce(t, cl, "orders", 0, 10)
	n := c.ByID(partitionOf(t, cl, "orders", 0).GetLeader())
	f := startFlow(t, cl, "orders", 10) // some of it is under way whenever the majority goes: the leader steps down a second after that
	for i := 1; i <= 3; i++ {
		if i != n {
			c.Crash(i)
		}
	}
	shows(t, c, "of a broker alone", least("runnel_raft_unapplied_entries", "", 1), is("runnel_raft_leaderless_groups", "", 2), is("runnel_topic_leaders", "", 0))
	for i := 1; i <= 3; i++ {
		if i != n {
			c.Restart(i)
		}
	}
	f.end()
	shows(t, c, "of all three", is("runnel_raft_unapplied_entries", "", 0), is("runnel_raft_leaderless_groups", "", 0), is("runnel_topic_leaders", "", 1))
}
