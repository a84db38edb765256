package dashboards

func overview() Dashboard {
	return Dashboard{
		UID: "runnel-overview", Title: "Overview", Description: "Is the cluster well, what does it carry, and how fast is it.",
		Rows: []Row{
			{"Health", []Panel{
				stat("Brokers up", Count, `sum(up{job="runnel"})`, 0, "Brokers that Prometheus reaches, of those that it is told of."),
				stat("Brokers ready", Count, `sum(runnel_broker_ready)`, 0, "Brokers that serve clients. One that is up and not ready says at /readyz what it waits for."),
				stat("Partitions", Count, `max(runnel_controller_partitions)`, 0, "Partitions of all topics, as the controller tells."),
				stat("Without a leader", Count, `max(runnel_controller_leaderless_partitions)`, 1,
					"Partitions that nobody leads, as the controller tells: they take no records. brokerctl cluster status names them and says why."),
				stat("Under-replicated", Count, `max(runnel_controller_under_replicated_partitions)`, 1,
					"Partitions with a replica that is missing or behind. They take records; one more failure may stop them."),
				stat("Quarantined", Count, `sum(runnel_raft_quarantined)`, 1, "Replicas that were stopped because their log or state cannot be trusted. The controller makes new ones."),
				stat("Disks full", Count, `sum(runnel_broker_disk_full)`, 1, "Brokers that refuse records for want of space. Others lead their partitions meanwhile."),
				stat("Moves", Count, `sum(runnel_controller_moves)`, 0, "Partitions whose replicas are being moved now."),
			}},
			{"Traffic", []Panel{
				one("Records acknowledged", RecordsPerSecond, perSecond("instance", "runnel_partition_produced_records_total{<B>}"), "{{instance}}",
					"Records a second that are on disk on a majority, by the broker that leads their partition.").stacked(),
				one("Bytes in and out", BytesPerSecond, perSecond("", "runnel_broker_produce_bytes_total{<B>}"), "produced",
					"Bytes a second of produce requests, and of record batches sent to consumers.").
					with(perSecond("", "runnel_broker_fetch_bytes_total{<B>}"), "fetched"),
				one("Requests", RequestsPerS, perSecond("api", "runnel_broker_requests_total{<B>}"), "{{api}}", "Requests of clients, by call. A stream of fetches or produces counts each of its requests."),
			}},
			{"Latency", []Panel{
				quantiles("Produce", "runnel_broker_produce_seconds", "From the admission of a produce request to its last answer: what a producer waits for, without the network."),
				quantiles("Commit", "runnel_raft_commit_seconds", "From a proposal on the leader until a majority has it on disk. The rest of a produce request's time is queueing and answering."),
				quantiles("Fetch", "runnel_broker_fetch_seconds", "Of the fetches of consumers, as the brokers see them."),
			}},
			{"Trouble", []Panel{
				one("Errors given to clients", EventsPerSecond, perSecond("api, reason", "runnel_broker_errors_total{<B>}"), "{{api}}: {{reason}}",
					"By call and reason, one a partition. not_leader is how a client learns of a new leader; the SDK answers most others by trying again."),
				one("Leader sessions begun", EventsPerSecond, perSecond("instance", "runnel_raft_sessions_total{<B>}"), "{{instance}}",
					"Leaderships that began on each broker. A restart or a move makes some; a steady rate is flapping."),
				one("Alerts firing", Count, `count by (alertname) (ALERTS{alertstate="firing", alertname=~"Runnel.*"})`, "{{alertname}}",
					"Of the rules in deploy/prometheus/alerts.yml, by name. RUNBOOKS.md says what to do about each.").stacked(),
			}},
		},
	}
}
