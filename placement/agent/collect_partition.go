package agent

import "github.com/prometheus/client_golang/prometheus"

// partitionDescs are the series of single partitions. A broker with 3,000 replicas has 9,000 to 27,000 of them, so they are opt-in.
type partitionDescs struct {
	hw, logStart, term, replicas, inSync, leader *prometheus.Desc // by the leader
	bytes, segments, unapplied                   *prometheus.Desc // by each replica
	self                                         int64
}

func newPartitionDescs(c *collector) *partitionDescs {
	desc := func(name, help string) *prometheus.Desc {
		return c.desc("runnel_partition_"+name, help+" Opt-in: metrics.partitions.", "topic", "partition")
	}
	return &partitionDescs{
		hw:        desc("high_watermark", "First offset that is not committed, told by the leader."),
		logStart:  desc("log_start_offset", "First offset that can be read, told by the leader."),
		term:      desc("term", "Term of the leader, told by it."),
		replicas:  desc("replicas", "Replicas that the partition has by plan, told by the leader."),
		inSync:    desc("in_sync_replicas", "Replicas that have all that is committed and are on a broker that is heard, told by the leader."),
		leader:    desc("leader", "Id of the leader's broker, told by it."),
		bytes:     desc("bytes", "Bytes of entries in the log of this broker's replica."),
		segments:  desc("segments", "Segment files of this broker's replica."),
		unapplied: desc("unapplied_entries", "Entries in the log of this broker's replica that are not applied."),
		self:      int64(c.a.cfg.BrokerID),
	}
}

func (d *partitionDescs) collect(ms chan<- prometheus.Metric, x *sight) {
	if x.placed == nil { // of a deleted topic, whose name another one may have by now
		return
	}
	gauge(ms, d.bytes, x.status.Bytes, x.topic, x.number)
	gauge(ms, d.segments, int64(x.status.Segments), x.topic, x.number)
	gauge(ms, d.unapplied, int64(x.status.Unapplied), x.topic, x.number) //nolint:gosec // entries of one log
	if !x.leading {
		return
	}
	gauge(ms, d.leader, d.self, x.topic, x.number)
	gauge(ms, d.hw, x.status.HW, x.topic, x.number)
	gauge(ms, d.logStart, x.status.LogStart, x.topic, x.number)
	gauge(ms, d.term, int64(x.status.Term), x.topic, x.number) //nolint:gosec // terms have 31 bits (RULES 12)
	gauge(ms, d.replicas, int64(len(x.placed.Replicas)), x.topic, x.number)
	gauge(ms, d.inSync, int64(x.inSync), x.topic, x.number)
}
