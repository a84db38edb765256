package agent

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/placement"
)

// kafkaDescs are the names of danielqsj/kafka_exporter, for dashboards that exist. There one exporter speaks for the cluster; here each fact is
// told by exactly one broker, so that sums and maxima over all brokers are the cluster's: partitions by their leaders, a topic by the leader
// of its first partition, the number of brokers by the controller's leader.
type kafkaDescs struct {
	brokers, brokerInfo, partitions                   *prometheus.Desc
	current, oldest, leader, preferred, replicas, isr *prometheus.Desc
	under                                             *prometheus.Desc
}

func newKafkaDescs(c *collector) *kafkaDescs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return c.desc("kafka_"+name, help+" As kafka_exporter names it; opt-in: metrics.kafka.names.", labels...)
	}
	of := func(name, help string) *prometheus.Desc {
		return desc("topic_partition_"+name, help, "topic", "partition")
	}
	return &kafkaDescs{
		brokers:    desc("brokers", "Brokers of the cluster, told by the controller's leader."),
		brokerInfo: desc("broker_info", "1, by the broker's id and client address.", "id", "address"),
		partitions: desc("topic_partitions", "Partitions of the topic, told by the leader of the first one.", "topic"),
		current:    of("current_offset", "First offset that is not committed."),
		oldest:     of("oldest_offset", "First offset that can be read."),
		leader:     of("leader", "Id of the leader's broker."),
		preferred:  of("leader_is_preferred", "1 if the leader is on the preferred broker, else 0."),
		replicas:   of("replicas", "Replicas that the partition has by plan."),
		isr:        of("in_sync_replica", "Replicas that have all that is committed and are on a broker that is heard."),
		under:      of("under_replicated_partition", "1 if a replica lacks records or is on a broker that is not heard, else 0."),
	}
}

func (d *kafkaDescs) collect(ms chan<- prometheus.Metric, a *Agent, seen []sight) {
	s, self := a.latest.Load(), a.cfg.BrokerID
	if lead, _, ok := a.host.Leader(placement.ControllerGroup); ok && lead == self {
		gauge(ms, d.brokers, int64(len(s.Brokers)))
	}
	if b := s.Brokers[self]; b != nil {
		gauge(ms, d.brokerInfo, 1, strconv.Itoa(int(self)), b.ClientAddr)
	}
	for i := range seen {
		if x := &seen[i]; x.leading && x.placed != nil {
			d.partition(ms, s, self, x)
		}
	}
}

func (d *kafkaDescs) partition(ms chan<- prometheus.Metric, s *placement.State, self int32, x *sight) {
	if t := s.Topics[x.topic]; t != nil && x.number == "0" {
		gauge(ms, d.partitions, int64(len(t.Partitions)), x.topic)
	}
	gauge(ms, d.current, x.status.HW, x.topic, x.number)
	gauge(ms, d.oldest, x.status.LogStart, x.topic, x.number)
	gauge(ms, d.leader, int64(self), x.topic, x.number)
	gauge(ms, d.preferred, truth(len(x.placed.Replicas) > 0 && x.placed.Replicas[0].Broker == self), x.topic, x.number)
	gauge(ms, d.replicas, int64(len(x.placed.Replicas)), x.topic, x.number)
	gauge(ms, d.isr, int64(x.inSync), x.topic, x.number)
	gauge(ms, d.under, truth(x.under()), x.topic, x.number)
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
