// Package plan decides where replicas and leaders go. Its functions are pure: a State and what was observed beside it go in,
// decisions and their reasons come out; the same input gives the same output on every broker and in every test.
//
//	Topic, AddPartitions   place new partitions
//	Next                   what to do next with those that exist: moves, orders of preferred leaders, transfers
//	Drain, Spread          how far a drain is and what blocks it; how even the cluster is
//	Recover                what giving up a partition's majority by hand keeps and loses
//	ReplicationFactor      what a change of a topic's replication factor would move
//
// Next works off, in this order: replicas that are quarantined or whose brokers are dead, that are missing or too many;
// brokers that are being drained; racks; evenness of replicas (of each topic, then of the cluster, at most one apart, then
// of bytes); preferred leaders (of each topic, then of the cluster). What cannot be done is in Plan.Blocked with the reason
// and the remedy.
//
// What goes wrong meanwhile:
//
//   - A broker is silent, but not for long enough to be replaced: nothing is sent to it, and nothing is evened out (for at most
//     ten minutes), since it may come back. Moves that need it stand still and do not count against View.MaxMoves, nor do those that
//     are stuck for another reason (View.Idle).
//   - More moves were asked for by hand than may be under way: what heals is planned beside them, and overtakes those that have not begun
//     (limits.go).
//   - The target of a move is dead or drained, or its new replica is quarantined: Plan.Cancels turns the move back, and the next plan
//     begins it elsewhere. A drained target keeps what heals a partition if there is no other place.
//   - A broker's disk is full, or installations on it keep failing (View.Refusing): it gets nothing, moves to it are turned back like those
//     to a drained one, and evenness takes replicas off it. Where it refuses records too (View.Full), its leaders go to other replicas, and come
//     back when it has space.
//   - The target dies from phase joint on: the move goes forward as long as both majorities serve, and the dead replica is replaced after
//     it. If one majority is lost, the move is in Plan.Blocked.
//   - A disk is wiped: its broker joins under another id, and the old one is dead when View.ReplaceAfter is over.
//   - The moves of a partition are turned back again and again (View.Cooling): none is planned for it for a while, and others get their turn.
//   - A majority is lost, or the only replica of a topic with replication factor 1: Plan.Blocked names the brokers to bring back and
//     `brokerctl partition recover`. After a recovery the partition has fewer replicas than its topic asks for, and is refilled.
//   - A replica is quarantined, or can never catch up since it lacks what is no longer in its leader's log (it is in View.Quarantined
//     too): another broker takes its successor, its own only if there is no other. As long as a broker has one, its
//     disk is in doubt: it gets nothing for the sake of evenness, and is the last choice within a rack.
//
// The order of the goals for one replica, the first being the most important:
//
//  1. no two replicas of a partition on one broker, and none on a broker that is not alive or that is being drained
//  2. replicas of a partition in as many racks as there are
//  3. replicas of the topic spread evenly over the brokers, then all replicas of the cluster, then bytes
//  4. preferred leaders of the topic spread evenly over the brokers, then all preferred leaders of the cluster
//
// What is left undecided is decided by a hash of topic, partition and broker, so that the partitions of one broker
// have their other replicas on many brokers and its failure burdens them all a little.
//
// Invariants:
//   - A partition has one move at a time, which replaces one replica (more only to reach a replication factor), and only
//     while a majority of its replicas serves before and after.
//   - Every move for evenness lowers a sum of squares, or is a step of a chain that does (see balance and detour): repeated plans end.
//   - Few copies: on small clusters within one and a half times, plus one, of what exhaustive search finds (in practice
//     the same in 999 of 1,000).
//
// Speed: a plan is O(replicas), and O(brokers) for each move. For 100 brokers and 100,000 partitions of three replicas, after the
// loss of a broker, all 3,000 moves are planned in 0.05 s (0.2 to 0.3 s if each partition is a topic of its own) with 20 MiB of
// memory; BenchmarkNextAfterLoss and TestHundredBrokersHundredThousandPartitions repeat that.
//
// The caller is package placement/controller, on the leader of the controller group.
package plan
