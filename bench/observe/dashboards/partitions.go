package dashboards

func partitions() Dashboard {
	each := func(title, counter, description string) Panel {
		return one(title, EventsPerSecond, perSecond("instance", counter+"{<B>}"), "{{instance}}", description)
	}
	return Dashboard{
		UID: "runnel-partitions-and-raft", Title: "Partitions and Raft", Description: "Who leads, how commits go, and why leaders change.", Topics: true,
		Rows: []Row{
			{"Leaders", []Panel{
				one("Replicas", Count, gauge("runnel_raft_groups"), "{{instance}}", "Replicas that run on each broker, the controller's among them."),
				one("Leaders", Count, gauge("runnel_raft_leaders"), "{{instance}}", "Groups that each broker leads. The controller keeps them even."),
				one("Replicas that know no leader", Count, gauge("runnel_raft_leaderless_groups"), "{{instance}}",
					"On each broker. For a moment during an election; for longer when a majority is away or this broker is cut off."),
			}},
			{"Commits", []Panel{
				one("Commit, 99%", Seconds, quantile("0.99", "instance", "runnel_raft_commit_seconds"), "{{instance}}", "From a proposal on the leader until a majority has it on disk, by the leader's broker."),
				one("Appends in one write", Count, mean("instance", "runnel_raft_append_writes"), "{{instance}}",
					"Mean size of a group commit: how many append messages one durable write took. It rises with the load, which is why throughput does."),
				one("Durable write, 99%", Seconds, quantile("0.99", "instance", "runnel_raft_append_seconds"), "{{instance}}", "Time of one durable write of a replica, waiting for the disk included."),
				one("Entries not yet applied", Count, gauge("runnel_raft_unapplied_entries"), "{{instance}}", "Written or committed and not applied yet, over all replicas of a broker."),
				one("Queues", Count, short.Replace(`sum by (queue) (runnel_raft_queue_depth{<B>})`), "{{queue}}", "What waits for a worker, by pool: stepping, appends, applies. A queue that stays long is what to look at."),
				each("Appends without a write", "runnel_raft_appends_skipped_total", "Append messages with nothing new, answered without a disk write."),
			}},
			{"Changes of leaders", []Panel{
				each("Leader sessions begun", "runnel_raft_sessions_total", "Leaderships that began on each broker."),
				each("Elections started", "runnel_raft_campaigns_total", "By replicas of each broker: their leader was not heard, or handed over to them."),
				one("Transfers", EventsPerSecond, perSecond("result", "runnel_raft_transfers_total{<B>}"), "{{result}}", "Leaderships handed over, by result."),
				each("Leaders that stepped down", "runnel_raft_step_downs_total", "Because no quorum heard them, or their disk hung or was full."),
				each("Stalls", "runnel_raft_stalls_total", "Leaders whose oldest append in flight became too old, since the disk hangs, or found no space where others did. They hand over."),
				one("Stalled now", Count, gauge("runnel_raft_stalled_groups"), "{{instance}}", "Replicas that wait for their disk for longer than two seconds, now."),
				one("Waiting for space", Count, gauge("runnel_raft_waiting_for_space_groups"), "{{instance}}", "Replicas that cannot write because their disk is full. They go on by themselves once it is not."),
			}},
			{"Between brokers", []Panel{
				each("Brokers taken for gone", "runnel_raft_silences_total", "Times that another broker was not heard, or refused a connection."),
				each("Appends that could not be sent", "runnel_raft_unreachable_total", "To brokers that are away, or whose lane is full. They are sent again."),
				one("Messages dropped", EventsPerSecond, perSecond("reason", "runnel_raft_dropped_total{<B>}"), "{{reason}}", "By reason. Raft sends again what matters."),
			}},
			{"By partition (with metrics.partitions: true)", []Panel{
				one("Term", Count, short.Replace("max by (topic, partition) (runnel_partition_term{<B>, <T>})"), "{{topic}}/{{partition}}", "It rises with each election. A staircase is flapping."),
				one("Leader", Count, short.Replace("max by (topic, partition) (runnel_partition_leader{<B>, <T>})"), "{{topic}}/{{partition}}", "Id of the broker that leads, as the leader itself tells."),
				one("Entries not yet applied", Count, short.Replace("max by (topic, partition) (runnel_partition_unapplied_entries{<B>, <T>})"), "{{topic}}/{{partition}}", "On the replica that has most of them."),
			}},
		},
	}
}
