package dashboards

func brokers() Dashboard {
	const defect = "above 0 only through a defect, or brokers of different versions"
	each := func(title string, unit Unit, counter, description string) Panel {
		return one(title, unit, perSecond("instance", counter+"{<B>}"), "{{instance}}", description)
	}
	defects := Panel{Title: "Defects", Unit: Count, Description: "Panics, log entries that every replica skips, commands that this version does not know. All should be 0 for ever: report what is not.", Queries: []Query{
		{Expr: short.Replace("sum(runnel_broker_panics_total{<B>}) + sum(runnel_raft_panics_total{<B>})"), Legend: "panics", Zero: defect},
		{Expr: short.Replace("sum(runnel_partition_void_entries_total{<B>})"), Legend: "void entries", Zero: defect},
		{Expr: short.Replace("sum(runnel_partition_unknown_commands_total{<B>}) + sum(runnel_controller_unknown_commands{<B>})"), Legend: "unknown commands", Zero: defect},
	}}
	return Dashboard{
		UID: "runnel-brokers", Title: "Brokers", Description: "Each process: clients, memory, its neighbours, and what they say of each other.",
		Rows: []Row{
			{"Who is there", []Panel{
				{Title: "Brokers", Unit: Count, Kind: Table, Wide: 12, Description: "Id, rack, version and whether it serves clients.", Queries: []Query{
					{Expr: gauge("runnel_broker_info"), Legend: "{{instance}}"}, {Expr: gauge("runnel_build_info"), Legend: "{{instance}}"}, {Expr: gauge("runnel_broker_ready"), Legend: "{{instance}}"}}},
				one("Running for", Seconds, short.Replace("time() - process_start_time_seconds{<B>, job=\"runnel\"}"), "{{instance}}", "Since the process started: a line that falls to 0 is a restart.").wide(12),
			}},
			{"Clients", []Panel{
				one("Refused connections", EventsPerSecond, perSecond("instance, reason", "runnel_broker_refused_connections_total{<B>}"), "{{instance}} {{reason}}", "By reason: too many (client.connections.max), too many TLS handshakes at once, or one that failed."),
				one("Streams", Count, short.Replace("sum by (instance, api) (runnel_broker_streams{<B>})"), "{{instance}} {{api}}", "Open streams, by call."),
				one("Requests of operators", RequestsPerS, perSecond("api", "runnel_admin_requests_total{<B>}"), "{{api}}", "Of brokerctl and other programs that administrate, by call."),
				one("Produce requests in flight", Count, gauge("runnel_broker_produce_in_flight"), "{{instance}}", "Admitted and not yet answered."),
				one("Produce budget", Bytes, gauge("runnel_broker_produce_budget_used_bytes"), "{{instance}}", "Bytes of produce requests in flight, and the budget (memory.produce.bytes) beyond which they wait.").
					with("max("+gauge("runnel_broker_produce_budget_bytes")+")", "budget"),
				each("Requests that waited for the budget", EventsPerSecond, "runnel_broker_produce_budget_waits_total", "The broker pushes back: more is sent than it can write."),
			}},
			{"Process", []Panel{
				each("Processors", Count, "process_cpu_seconds_total", "How many of them are busy with the broker."),
				one("Memory", Bytes, gauge("process_resident_memory_bytes"), "{{instance}}", "Resident, and that of Go's heap in use.").with(gauge("go_memstats_heap_inuse_bytes"), "{{instance}} heap"),
				one("Goroutines", Count, gauge("go_goroutines"), "{{instance}}", "A line that only rises is a leak: report it."),
				one("File descriptors", Share, gauge("process_open_fds")+" / "+gauge("process_max_fds"), "{{instance}}", "Share of the limit that is open. Segments and connections are files."),
				each("Garbage collections", EventsPerSecond, "go_gc_duration_seconds_count", "Of each process."),
				defects,
			}},
			{"Between brokers", []Panel{
				one("Raft traffic", BytesPerSecond, perSecond("instance, lane", `runnel_peer_bytes_total{<B>, direction="out"}`), "{{instance}} {{lane}}", "Bytes sent to other brokers, by lane: entries, and what must not wait behind them."),
				one("Lanes connected", Count, short.Replace("sum by (instance) (runnel_peer_connected{<B>})"), "{{instance}}", "Connections to other brokers that stand: two lanes to each."),
				one("Packets dropped", EventsPerSecond, perSecond("instance, lane", "runnel_peer_drops_total{<B>}"), "{{instance}} {{lane}}", "The queue was full, the broker away or the connection lost."),
				each("Connections made", EventsPerSecond, "runnel_peer_connects_total", "To other brokers. All but the first are reconnects."),
				each("Refused handshakes", EventsPerSecond, "runnel_peer_refused_handshakes_total", "Of incoming connections on the peer port: strangers, or brokers of another cluster."),
			}},
			{"TLS", []Panel{
				one("Certificates are good for", Seconds, short.Replace("runnel_tls_certificate_not_after_seconds{<B>} - time()"), "{{instance}} {{use}}", "Until the certificate in force expires. New files are read without a restart."),
				one("Files read anew", EventsPerSecond, perSecond("instance, use, result", "runnel_tls_reloads_total{<B>}"), "{{instance}} {{use}} {{result}}", "Changed files of certificates and keys. After a failure the former ones stay in force; the log says why."),
			}},
			{"Gossip", []Panel{
				one("Members seen alive", Count, gauge("runnel_gossip_members"), "{{instance}}", "By each broker, itself included. Lines that differ: brokers do not see each other."),
				one("Seeds not seen", Count, gauge("runnel_gossip_missing_seeds"), "{{instance}}", "Of the list that the broker was started with."),
				each("Changes", EventsPerSecond, "runnel_gossip_changes_total", "Members that came, went or changed what they announce."),
				one("Joins", EventsPerSecond, perSecond("result", "runnel_gossip_rejoins_total{<B>}"), "{{result}}", "Attempts to join a seed that is not seen, by result."),
				one("False suspicions", EventsPerSecond, perSecond("instance", "runnel_gossip_false_suspicions_total{<B>}"), "{{instance}}", "Brokers that were suspected or declared dead and said that they live: processes that get no time, or a bad network."),
				one("Health score", Count, gauge("runnel_gossip_health_score"), "{{instance}}", "0 is well. It rises while a broker does not hear in time what it asks for, and makes it slower to suspect others."),
			}},
		},
	}
}
