package dashboards

func moves() Dashboard {
	return Dashboard{
		UID: "runnel-moves-and-balance", Title: "Moves and balance", Description: "Where replicas and leaders are, what the controller does about it, and what that costs.",
		Rows: []Row{
			{"Balance", []Panel{
				one("Replicas", Count, gauge("runnel_raft_groups"), "{{instance}}", "On each broker. The controller evens them out, racks first."),
				one("Leaders", Count, gauge("runnel_raft_leaders"), "{{instance}}", "On each broker. Most of the work of a partition is its leader's."),
				one("Bytes", Bytes, gauge("runnel_raftlog_bytes"), "{{instance}}", "Of segments on each broker."),
				one("The busiest broker against the mean", Share, short.Replace("max(runnel_raft_leaders{<B>}) / avg(runnel_raft_leaders{<B>})"), "leaders", "100% is even, in leaders and in bytes held.").
					with(short.Replace("max(runnel_raftlog_bytes{<B>}) / avg(runnel_raftlog_bytes{<B>})"), "bytes"),
				one("Replicas by state", Count, short.Replace("sum by (state) (runnel_agent_replicas{<B>})"), "{{state}}", "Over the chosen brokers. Installing: data is on its way.").stacked(),
				one("Brokers by state", Count, "max by (state) (runnel_controller_brokers)", "{{state}}", "As the controller sees them.").stacked(),
			}},
			{"Moves", []Panel{
				one("Moves by phase", Count, "sum by (phase) (runnel_controller_moves)", "{{phase}}", "Under way now. brokerctl partition list says what each waits for.").stacked(),
				one("Moves ended", EventsPerSecond, perSecond("result", "runnel_controller_moves_finished_total"), "{{result}}", "Done, cancelled, or failed since the topic was deleted meanwhile."),
				one("Catch-up, received", BytesPerSecond, perSecond("instance", "runnel_recovery_received_bytes_total{<B>}"), "{{instance}}", "Bytes of other brokers' logs that make replicas here, and the limit of a broker (recovery.rate.bytes).").
					with("max("+gauge("runnel_recovery_rate_bytes")+")", "limit"),
				one("Catch-up, sent", BytesPerSecond, perSecond("instance", "runnel_recovery_sent_bytes_total{<B>}"), "{{instance}}", "Bytes of this broker's logs that make replicas elsewhere."),
				one("Replicas to delete", Count, "max(runnel_controller_tombstones)", "replicas", "Deleted ones whose brokers have not said that they are gone."),
				one("Leaders sent home", EventsPerSecond, `sum(rate(runnel_controller_actions_total{action="transfer_leader"}[$__rate_interval]))`, "transfers", "Leaderships that the controller handed to the preferred replica."),
			}},
			{"Controller", []Panel{
				one("Leads the controller group", YesNo, gauge("runnel_controller_leader"), "{{instance}}", "One broker does. None for long: no topic is made, nothing is moved; records flow on."),
				one("Actions", EventsPerSecond, perSecond("action", "runnel_controller_actions_total"), "{{action}}", "What the controller's leader decided, by kind."),
				one("Changes of the cluster's state", EventsPerSecond, "max(rate(runnel_controller_revision[$__rate_interval]))", "changes", "Commands that changed something."),
				one("Changes in flight", Count, "sum(runnel_controller_pending)", "changes", "Waiting or in flight on the leader."),
			}},
		},
	}
}
