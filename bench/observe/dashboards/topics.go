package dashboards

func topics() Dashboard {
	return Dashboard{
		UID: "runnel-topics", Title: "Topics", Description: "What each topic carries and holds, and with metrics.partitions, each partition.", Topics: true,
		Rows: []Row{
			{"Traffic by topic", []Panel{
				topicRate("Records acknowledged", RecordsPerSecond, "runnel_topic_produced_records_total", "Records a second that are on disk on a majority."),
				topicRate("Bytes acknowledged", BytesPerSecond, "runnel_topic_produced_bytes_total", "Bytes a second of acknowledged batches, as they were sent: compressed, if the producer compresses."),
				topicRate("Bytes fetched", BytesPerSecond, "runnel_topic_fetched_bytes_total", "Bytes a second read for consumers. Two consumers of a topic read it twice."),
			}},
			{"Replicas by topic", []Panel{
				one("Replicas", Count, short.Replace("sum by (topic) (runnel_topic_replicas{<B>, <T>})"), "{{topic}}", "Replicas on the chosen brokers."),
				one("Leaders", Count, short.Replace("sum by (topic) (runnel_topic_leaders{<B>, <T>})"), "{{topic}}",
					"Partitions led by the chosen brokers: with all of them, fewer than the topic has partitions means that some have no leader."),
				one("Under-replicated partitions", Count, short.Replace("sum by (topic) (runnel_topic_under_replicated_partitions{<B>, <T>})"), "{{topic}}",
					"Led partitions with a replica that is missing or behind."),
			}},
			{"Stored by topic", []Panel{
				one("Bytes", Bytes, short.Replace("sum by (topic) (runnel_topic_bytes{<B>, <T>})"), "{{topic}}", "On disk, of all replicas on the chosen brokers.").stacked(),
				one("Segments", Count, short.Replace("sum by (topic) (runnel_topic_segments{<B>, <T>})"), "{{topic}}", "Files of all replicas on the chosen brokers. Retention deletes whole segments."),
				one("Size of a record", Bytes, perSecond("topic", "runnel_topic_produced_bytes_total{<B>, <T>}")+" / "+perSecond("topic", "runnel_topic_produced_records_total{<B>, <T>}"), "{{topic}}",
					"Mean size of an acknowledged record within its batch. Below some hundred bytes, batching decides about the throughput."),
			}},
			{"By partition (with metrics.partitions: true)", []Panel{
				one("Records written", RecordsPerSecond, short.Replace("sum by (topic, partition) (rate(runnel_partition_high_watermark{<B>, <T>}<R>))"), "{{topic}}/{{partition}}",
					"How fast the high watermark rises. One partition far above the others: its keys are hot."),
				one("Records held", Count, short.Replace("max by (topic, partition) (runnel_partition_high_watermark{<B>, <T>} - runnel_partition_log_start_offset{<B>, <T>})"), "{{topic}}/{{partition}}",
					"From the log start offset to the high watermark."),
				one("Replicas in sync", Count, short.Replace("min by (topic, partition) (runnel_partition_in_sync_replicas{<B>, <T>})"), "{{topic}}/{{partition}}",
					"As the leader sees them. Below the replication factor: a replica is missing or behind."),
			}},
		},
	}
}

func topicRate(title string, unit Unit, counter, description string) Panel {
	return one(title, unit, perSecond("topic", counter+"{<B>, <T>}"), "{{topic}}", description)
}
