// Package multiraft runs the replicas of many raft groups on one broker.
//
// A Host has one Group for each replica. The package hosts raft.RawNode (etcd-io/raft v3.7) with asynchronous storage writes, on
// logs of package raftlog, over a Transport that someone else gives, and drives a Machine: a partition, or the controller.
//
// # Data flow
//
// Each group has two tasks, and no goroutine of its own:
//
//   - the worker (ClassRaft, never blocks) owns the RawNode and the machine. One run takes everything from the inbox (raft
//     messages, answers of the append task, control requests, ticks), steps it, asks the machine for proposals
//     (Machine.Turn) and steps them as one MsgProp, and then handles raft's Readys: messages to peers leave first, the write
//     goes to the append task's queue, committed entries go through Machine.Apply at once.
//   - the append task (ClassAppend, blocks on the disk) takes all queued writes and makes them durable by one
//     raftlog.Append: that is the group commit. Only then do the answers to peers leave, from this task, and those to the own
//     RawNode enter the inbox.
//
// A leader's MsgApp does not wait for its own disk: followers write while it does. An append message with nothing new costs no
// disk, and is answered on the spot if nothing is queued before it.
//
// Apply is inline on the worker. It writes nothing to disk, so a pool of its own would buy a second owner of the
// machine's state, and a mutex, for nothing.
//
// One more task a host, the beat, is its only ticker: broker-to-broker heartbeats each 100 ms, raft's slow ticks each TickInterval
// (spread over the heartbeats in between), the election trigger, the leader changes to tell, and the search for leaders that
// cannot work, or that wait in vain: since raft ticks slowly, those are helped after half a second (nurse.go). Raft's own heartbeats
// wait for the next heartbeat to the same broker, so those of all groups travel as one packet. At rest all brokers beat at the same
// moments, after the one with the lowest id, and a follower's tick waits for its leader's heartbeat. An idle group thus costs its ticks
// and nothing else.
//
// # Who finds failures
//
// Brokers, not replicas (RULES 21). A broker is silent for 500 ms, refuses a connection, or answers with a new boot
// nonce; or a leader says that it no longer leads: then its followers here forget it. A group without a leader campaigns when a
// majority of its voters' brokers are alive, the k-th live voter after k x 150 ms, and again; where thousands look for a leader, later by
// 2 ms for each that came before, and no more than 128 at a time. At the start of a broker none stands before all that was on the disk
// is open, for at most 15 s (elections.go). A PreVote that arrives before
// its receiver has noticed is kept and answered when it has. A replica that just voted waits 300 ms for its candidate: else the old
// leader would depose its successor after each transfer. Alive means that packets pass both ways: a heartbeat carries whether
// its sender hears the receiver.
//
// A replica that is opened and hears of no leader calls the one that the other brokers tell of (greet.go).
//
// A leader stops leading when no majority was heard for 1 s (RULES 16), and when its oldest append is 2 s old, after trying to
// hand over (RULES 22). An append that finds the disk full is tried again, and the leader gives up only once others have committed what it cannot
// write: without space for a majority nobody else could lead, and reads go on. A host that was itself stalled forgives its peers that silence.
//
// # Members
//
// A replica is installed offline (Group.Ship, raftlog.Installer) and then started like any other; in no configuration, or as a learner,
// it never campaigns. AddLearner, ChangeVoters, LeaveJoint and RemoveLearner are the steps of a move, one configuration change each, on
// the leader in session. They may be asked for again. Every replica is told by SetMembers which broker a new one is on, since
// any of them may lead next, and by SetGone which ones are never to be heard again. Status.Peers tells which learner has caught up, and which
// never will. ChangeVoters goes nowhere that a majority would not follow. A leader that loses its vote hands over before that change if
// a voter that stays can take over, else before the joint configuration is left.
//
// A leave that is applied can still be lost, since commit reaches a disk only with a later entry: the only voter crashes; or all new
// voters lose power; or the leader, which alone knows, is cut off and dies. Those that come back are in the joint configuration then and
// need the old half. So the leader proposes one empty entry after it, and Status.Changing stays true until an entry is
// committed that was appended when the leave was known as committed (settle.go): one whose followers store it together with that
// knowledge. A leader that commits an earlier leader's leave by the first entry of its own term has told nobody with that entry, and
// proposes another one.
//
// A group whose majority is lost goes on with one replica after raftlog.Store.Recover, while that is stopped: the changes that leave
// it alone stand in its log as committed, raft delivers them at the start, and it elects itself.
//
// # Stopping
//
// Host.HandOver gives away what is led here, each leadership again until another replica has shown that it leads, and from then on also
// what comes to be led here (giveaway.go). A broker that is about to stop gets no leadership, if the others know (Config.Leaving).
//
// Host.Stop ends the heartbeats, so that the other brokers' replicas do not wait for this one's disk; then all groups in
// memory, each of which says that it leads no more and answers who waits; and then closes their logs, eight at a time on the
// append workers, with a checkpoint while there is time for it. A group that ended answers later requests at once.
//
// # Invariants
//
//   - RawNode and Machine are touched by the worker only, or by StartGroup, Group.halt and Group.close while it does not run.
//   - Between the check that this replica leads in session and the MsgProp nothing is stepped (RULES 9).
//   - A session exists only while raft leads in the session's term and an entry of that term was applied (RULES 10). Session
//     and term end together: a term never has two sessions, so offsets stamped in one are never stamped again.
//   - Writes of a replica are durable in the order raft asked for them, and no answer leaves before everything
//     queued ahead of it is durable (RULES 14). Answers go to the RawNode that asked, never to a later one.
//   - A conf change is applied to raft before the answer that covers it is stepped (RULES 14).
//   - Who waits for Status.Changing before it deletes what the old half of a joint configuration holds does so only after a majority
//     of the new voters hold a durable commit at or above the leave. So every majority of them has one who knows, and no other
//     can be elected by it.
//   - That a replica is no learner is said only by a leader that a majority confirmed since it was asked.
//   - No snapshot is ever sent or stepped (RULES 19).
//   - A failed log, or a panic, stops that replica alone and for good: it is quarantined durably, its leadership is given up, and
//     nothing is acknowledged after the failure (RULES 2).
//   - Nothing iterates over a map where the order shows: simulations replay bit by bit.
//
// # Bounds
//
// The inbox drops raft messages beyond 4096 or 64 MiB; raft sends them again. Uncommitted proposals are bounded by 64 MiB a group
// (a turn beyond it is dropped whole and asked for again when entries commit), bytes in flight to one peer by a quarter of
// Config.InflightBytes, committed entries taken at once by 4 MiB. The sum over all groups is bounded by admission of
// produce, in package partition.
//
// Callers: partition and placement/controller are the machines, placement/agent starts and stops groups, cmd/brokerd/broker joins the
// Host with rpc/peer as its Transport.
package multiraft
