// Package controller is the controller group: the raft group that holds the cluster's desired state (placement.State)
// and, on its leader, the place where requests become commands.
//
// Data flow. Do takes a request on any broker. On the leader it plans (package placement/plan), encodes a
// placement.Command, hands it to the group's worker (Turn), and answers when the command was applied; elsewhere it
// sends the request to the leader's broker (Caller, Serve). Every replica folds committed commands (Apply) and publishes
// the newest State (Applied), which the broker's agent and the RPC services read.
//
// While this replica leads in session, a loop (driver) keeps every partition where it should be. It polls the brokers (placement/ask),
// plans (placement/plan.Next), records what is planned, and takes each move from phase to phase: what a move needs next is a
// pure function of the committed state and of what was seen since its last step (nextAction), so the next leader goes on wherever
// this one stopped. It also sends leaders to their preferred brokers, a few at a time. Operators' requests (operate.go) are planned as all
// others are; Overview shows what the loop sees and would do next.
//
// Invariants:
//   - A request is planned on the applied state plus the commands that this leader session has already queued, in
//     that order, so two requests of one session never contradict each other. The final word is always that of
//     placement.Apply on the committed command.
//   - An answer that needs no command (the topic exists, the broker is registered) is given only after a ReadIndex.
//   - A command whose fate is unknown is never reported as failed: the request is repeated where repeating is
//     harmless (see Do) and otherwise reported as indeterminate.
//   - Nothing is proposed that a member's release cannot read: its replica would stop there (level.go). Settings are checked before they are proposed.
//     What the cluster sets for the controller (Tuning) holds from the state in which it stands.
//   - Who changed settings, of brokers or of a topic, is one line in the log of the broker that proposed it, when it is committed.
//   - Recovery by hand (RULES 30) is refused while a majority of the partition's brokers is alive, unless for a minute no broker has told of a
//     leader in session, nor of one that it follows and that is not heard here (vigil.go).
//   - A broker is replaced only by a leader that has not heard it for Config.ReplaceAfter itself. Every member listens all the time
//     (hearing.go), so a new leader does not begin anew.
//   - Brokers are polled each second while something is afoot (driver.afoot), and each five at rest.
//   - A move advances only on what the partition's leader in session said after the last step had ended; installing and joint are
//     committed before anything is asked, the other phases after it was done. A step may be asked for twice.
//   - The loop never waits: calls and commands run on workers, bounded by kind, each with a time limit. What fails is tried again with
//     a growing pause of at most two seconds, and logged when the reason changes. A second in which nothing happens costs 5 ms of CPU
//     with 100 brokers and 100,000 partitions (BenchmarkIdleSecond).
//   - One membership change of the group is in flight at a time, and what comes next is a pure function of the state, of raft's
//     configuration and of who is heard (nextStep). A replica is installed, then joins as a learner (RULES 19); one, three or
//     five brokers vote (two where there are no more), and one that is lost, drained or given up gives its place to a learner that has caught up. No step leaves the group
//     without a majority of voters that are heard, and of two voters or fewer each has shown that it writes (memberproof.go).
//   - What raft says of its configuration is the truth; the state's record of it follows. A replica that the state does not know is
//     taken out of the group, whatever it was.
//   - Replicas that were given up by hand (State.ControllerRecoveries) are never heard: a majority of them could lead a second group, and
//     overwrite what this one has (offline.go).
//   - The group's log begins at one of its newest segments: a checkpoint holds the rest (ownlog.go). A replica that lacks what
//     went is replaced under a new id, never mended.
//
// The methods of multiraft.Machine run on the group's worker and never block; planning runs on the caller's goroutine.
// Callers: cmd/brokerd/broker (assembly), rpc/admin and rpc/broker (Do, State).
package controller
