// Package raftlog keeps the Raft logs of one broker's replicas on disk, in bbolt segments, and serves them to raft
// (raft.Storage), to consumers (ReadBatches) and to the machines that fold state from them (FoldEntries). The Raft log
// is the topic log: a record batch is written once, and nothing else is written for it.
//
// # Data flow
//
// A Store is a data folder: meta.db and a folder per replica. meta.db holds what must survive any change of a log:
// identity, term and vote, which replicas exist and which are quarantined. A Log is one replica:
//
//	Append  -> meta.db (term, vote; one commit for all replicas that wait)
//	        -> one transaction in the newest segment (entries, what they overwrite, commit, checkpoint)
//	        -> memory tail (the entries themselves, shared with raft)
//	raft    <- tail, or a window that a prefetch read back; never the disk for what is not applied
//	reads   <- tail, or short transactions of at most 1 MiB that copy into the caller's buffer
//	ship    <- a Shipment: whole segments, read one after the other, and a short tail; an Installer makes a new replica of it elsewhere
//
// # Invariants
//
//   - An entry or vote is durable before Append returns (RULES 1, 14). Any error of a write poisons the log: the
//     replica is quarantined durably and never acknowledges anything again (RULES 2). A write that could not begin, for want
//     of descriptors, memory or space on the disk, has not failed: it is tried again. So where the disk may be full soon blocks are taken before
//     a transaction is written, and some more for entries that hold no records (space.go).
//   - Segments are contiguous; each one's header says what came before it. A gap is quarantine (RULES 5).
//   - A segment is sealed only below commit and applied (RULES 4); a prefix is unlinked only below a checkpoint that no
//     truncation can reach (RULES 6).
//   - A shipment holds only what is applied: no truncation reaches it, and trims are harmless to it (RULES 8). A replica is
//     installed once, offline, and exists from one transaction of meta.db on (RULES 19).
//   - Only Store.Recover makes entries count as committed that no majority has: by an operator's order (RULES 30).
//   - Entries above raft's applied index are in memory (RULES 18). Term never misses.
//   - Log.mu is never held across a disk access. Files open on demand and close when idle.
//
// # Callers
//
// partition/multiraft runs the logs: Append and Maintain on append tasks, the raft.Storage methods, SetApplied, Trim and
// OfferCheckpoint on the replica's worker, Ship on whoever serves a transfer. partition reads batches. partition/catchup moves
// shipments between brokers and drives Installers. cmd/brokerd opens and closes the Store.
// README.md is the specification of the format on disk.
package raftlog
