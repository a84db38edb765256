package agent

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/placement"
)

// Series says which series a scrape shows beside those of topics, of which there are at most a thousand and one.
type Series struct {
	// Partitions adds series for each replica that runs here: nine of one that leads.
	Partitions bool
	// Kafka adds the names that dashboards for Apache Kafka read (kafka_topic_partition_current_offset and others).
	Kafka bool
}

// collector shows the replicas of this broker at the time of a scrape, which costs nothing between scrapes. It holds no lock
// while it walks: of each replica it takes what its worker has published.
type collector struct {
	a    *Agent
	seen func() []sight // the agent's

	replicas, leaders, under   *prometheus.Desc
	records, bytesIn, bytesOut *prometheus.Desc
	bytes, segments            *prometheus.Desc
	partitions                 *partitionDescs // nil: not asked for
	kafka                      *kafkaDescs     // nil: not asked for
	descs                      []*prometheus.Desc
}

// desc makes a description and remembers it for Describe.
func (c *collector) desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc(name, help, labels, nil)
	c.descs = append(c.descs, d)
	return d
}

func newCollector(a *Agent, s Series) *collector {
	c := &collector{a: a, seen: a.seen}
	const folded = " Topics beyond the first 1,000 that this broker opened are counted together, as topic \"\"."
	c.replicas = c.desc("runnel_topic_replicas", "Replicas that run on this broker, by topic."+folded, "topic")
	c.leaders = c.desc("runnel_topic_leaders", "Partitions that this broker leads, by topic.", "topic")
	c.under = c.desc("runnel_topic_under_replicated_partitions",
		"Of the partitions that this broker leads, those with a replica that lacks records or is on a broker that is not heard, by topic.", "topic")
	c.records = c.desc("runnel_topic_produced_records_total", "Records acknowledged by this broker as a leader, by topic.", "topic")
	c.bytesIn = c.desc("runnel_topic_produced_bytes_total", "Bytes of record batches acknowledged by this broker as a leader, by topic.", "topic")
	c.bytesOut = c.desc("runnel_topic_fetched_bytes_total", "Bytes of record batches read for consumers on this broker, by topic.", "topic")
	c.bytes = c.desc("runnel_topic_bytes", "Bytes of entries in the logs of the replicas on this broker, by topic.", "topic")
	c.segments = c.desc("runnel_topic_segments", "Segment files of the replicas on this broker, by topic.", "topic")
	if s.Partitions {
		c.partitions = newPartitionDescs(c)
	}
	if s.Kafka {
		c.kafka = newKafkaDescs(c)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ds chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ds <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ms chan<- prometheus.Metric) {
	seen := c.seen()
	c.collectTopics(ms, seen)
	if c.partitions != nil {
		for i := range seen {
			c.partitions.collect(ms, &seen[i])
		}
	}
	if c.kafka != nil {
		c.kafka.collect(ms, c.a, seen)
	}
}

// sight is a replica that runs here, as a scrape sees it.
type sight struct {
	topic   string
	number  string
	label   string // of its topic's series
	status  partition.Status
	placed  *placement.Partition // nil: the state does not name it (any more)
	inSync  int                  // of placed.Replicas; only where it leads
	leading bool
}

// under tells, of a partition that is led here, whether a replica lacks something.
func (s *sight) under() bool {
	return s.leading && s.placed != nil && s.inSync < len(s.placed.Replicas)
}

// seen looks at every replica that runs here.
func (a *Agent) seen() []sight {
	s := a.latest.Load()
	alive := map[int32]bool{}
	for id := range s.Brokers {
		alive[id] = id == a.cfg.BrokerID || a.host.Alive(id)
	}
	var out []sight
	a.running.Range(func(_, v any) bool {
		l := v.(*live)
		x := sight{
			topic: l.topic, number: strconv.Itoa(int(l.number)), label: l.partition.Counts().Label,
			status: l.partition.Status(), placed: partitionAt(s, l.replica),
		}
		x.leading = x.status.Leader
		if x.leading && x.placed != nil {
			for _, r := range x.placed.Replicas {
				if !r.Learner && alive[r.Broker] && slices.Contains(x.status.InSync, r.ID) {
					x.inSync++
				}
			}
		}
		out = append(out, x)
		return true
	})
	return out
}

// topicSum is what a topic has on this broker.
type topicSum struct{ replicas, leaders, under, segments, bytes int64 }

func (c *collector) collectTopics(ms chan<- prometheus.Metric, seen []sight) {
	sums := map[string]*topicSum{}
	for i := range seen {
		x := &seen[i]
		t := sums[x.label]
		if t == nil {
			t = &topicSum{}
			sums[x.label] = t
		}
		t.replicas++
		t.segments += int64(x.status.Segments)
		t.bytes += x.status.Bytes
		if x.leading {
			t.leaders++
		}
		if x.under() {
			t.under++
		}
	}
	for label, t := range sums {
		gauge(ms, c.replicas, t.replicas, label)
		gauge(ms, c.leaders, t.leaders, label)
		gauge(ms, c.under, t.under, label)
		gauge(ms, c.segments, t.segments, label)
		gauge(ms, c.bytes, t.bytes, label)
	}
	if c.a.cfg.Metrics == nil {
		return
	}
	for _, t := range c.a.cfg.Metrics.Topics() {
		counter(ms, c.records, t.ProducedRecords(), t.Label)
		counter(ms, c.bytesIn, t.ProducedBytes(), t.Label)
		counter(ms, c.bytesOut, t.FetchedBytes(), t.Label)
	}
}

func gauge(ms chan<- prometheus.Metric, d *prometheus.Desc, v int64, labels ...string) {
	ms <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
}

func counter(ms chan<- prometheus.Metric, d *prometheus.Desc, v int64, labels ...string) {
	ms <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// forgetTopics lets the counts of deleted topics go. The state is asked for each anew: a topic that is younger than this call must stay.
func (a *Agent) forgetTopics() {
	s := a.latest.Load()
	if m := a.cfg.Metrics; m != nil && s.Revision != a.kept {
		a.kept = s.Revision
		m.KeepTopics(func(name string) bool { return a.latest.Load().Topics[name] != nil })
	}
}
