package dashboards

func storage() Dashboard {
	const needsDefect = "only a defect or a lack of descriptors, mappings or memory counts"
	each := func(title string, unit Unit, counter, description string) Panel {
		return one(title, unit, perSecond("instance", counter+"{<B>}"), "{{instance}}", description)
	}
	return Dashboard{
		UID: "runnel-storage", Title: "Storage", Description: "The disks: how fast they sync, how full they are, and what is on them.",
		Rows: []Row{
			{"Syncs", []Panel{
				one("Commit to disk, 99%", Seconds, quantile("0.99", "instance", "runnel_raftlog_sync_seconds"), "{{instance}}", "Write and fdatasync of one transaction. What a disk says it can do, it has to do here."),
				one("Commit to disk, half", Seconds, quantile("0.5", "instance", "runnel_raftlog_sync_seconds"), "{{instance}}", "The usual one. Far below the 99%: something else uses the disk now and then."),
				each("Transactions", EventsPerSecond, "runnel_raftlog_commits_total", "Durable segment transactions. Each is two fdatasyncs."),
				one("Entries in a transaction", Count, perSecond("instance", "runnel_raftlog_append_entries_total{<B>}")+" / "+perSecond("instance", "runnel_raftlog_commits_total{<B>}"), "{{instance}}",
					"Mean size of a group commit, in entries; an entry is a record batch."),
				each("Bytes appended", BytesPerSecond, "runnel_raftlog_append_bytes_total", "Bytes of entries written, of all replicas on a broker."),
				one("Commits of meta.db", EventsPerSecond, perSecond("instance", "runnel_raftlog_meta_commits_total{<B>}"), "{{instance}}", "Terms, votes, and replicas made and removed."),
			}},
			{"Space", []Panel{
				one("Free", Bytes, gauge("runnel_broker_disk_free_bytes"), "{{instance}}", "Free space of the data folder's disk, and the reserve below which records are refused.").
					with("max("+gauge("runnel_broker_disk_reserve_bytes")+")", "reserve"),
				one("Share of the disk that is used", Share, "1 - "+gauge("runnel_broker_disk_free_bytes")+" / "+gauge("runnel_broker_disk_total_bytes"), "{{instance}}", "By whatever is on it."),
				one("Refuses records", YesNo, gauge("runnel_broker_disk_full"), "{{instance}}", "While the disk has less space than the reserve. Others lead meanwhile."),
				one("Log", Bytes, gauge("runnel_raftlog_bytes"), "{{instance}}", "Bytes of segments on disk, of all replicas on a broker.").stacked(),
				one("Segments", Count, gauge("runnel_raftlog_segments"), "{{instance}}", "Files of all replicas on a broker, and those that are open.").
					with(gauge("runnel_raftlog_open_files"), "{{instance}} open"),
				each("Trims", EventsPerSecond, "runnel_partition_trims_total", "Moves of a log start offset by retention."),
			}},
			{"Memory and reads", []Panel{
				one("Memory tail", Bytes, gauge("runnel_raftlog_tail_bytes"), "{{instance}}", "Memory held by the newest entries, which followers and tail consumers read, and the budget of a broker.").
					with("max("+gauge("runnel_raftlog_tail_budget_bytes")+")", "budget"),
				each("Reads for followers", EventsPerSecond, "runnel_raftlog_prefetches_total", "Background reads off the disk for followers that lag behind the memory tail."),
				each("Bytes read for consumers", BytesPerSecond, "runnel_partition_fetched_bytes_total", "From replicas' logs, the memory tail included."),
			}},
			{"Trouble", []Panel{
				one("Poisoned logs", EventsPerSecond, perSecond("instance", "runnel_raftlog_poisoned_total{<B>}"), "{{instance}}", "Logs given up after an I/O or checksum error. Each quarantines its replica."),
				{Title: "Shortages", Unit: EventsPerSecond, Description: "Times that a write could not begin for want of descriptors, mappings or memory.",
					Queries: []Query{{Expr: perSecond("instance", "runnel_raftlog_resource_shortages_total{<B>}"), Legend: "{{instance}}", Zero: needsDefect}}},
				one("Batches refused", EventsPerSecond, perSecond("reason", "runnel_partition_refused_batches_total{<B>}"), "{{reason}}", "Not acknowledged, by reason. Producers are told which of them to try again."),
			}},
		},
	}
}
