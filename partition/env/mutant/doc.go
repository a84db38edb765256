// Package mutant names the bugs that can be seeded into the product, to see that the tests find them. Each name has one place in
// the product, or a few lines that make one bug together:
//
//	if mutant.On(mutant.AckBeforeFsync) {
//
// Without the build tag "mutants" On is false at compile time: the branches and the names are not in the program, which a test
// in bench/repo looks for. With the tag the environment variable MUTANT chooses one bug of all that are compiled in.
//
// Callers: packages below rpc. Package bench/mutants runs them, and holds which layer of tests must find which.
package mutant

// What acknowledges or promises too early.
const (
	// AckBeforeFsync acknowledges commits of bbolt that were written, not synced.
	AckBeforeFsync = "ack-before-fsync"
	// EntriesAfterMessage has answers to other replicas leave when a write is queued, not when it is on disk.
	EntriesAfterMessage = "entries-after-message"
	// VoteNotPersisted keeps the term and forgets for whom it voted.
	VoteNotPersisted = "vote-not-persisted"
	// TermNotPersisted keeps neither: a restart goes back to an older term.
	TermNotPersisted = "term-not-persisted"
	// VotesBeforeTerm asks for votes before the candidate's own term and vote are durable.
	VotesBeforeTerm = "votes-before-term"
	// CommitAhead stores every appended entry as committed.
	CommitAhead = "commit-ahead"
	// RollWithoutDirSync does not sync the folder when a segment gets its name.
	RollWithoutDirSync = "roll-without-dir-sync"
	// TruncationNotSynced does not sync the folder when a truncation has unlinked a segment.
	TruncationNotSynced = "truncation-not-synced"
	// QuarantineNotDurable remembers in memory alone that a replica must not run again.
	QuarantineNotDurable = "quarantine-not-durable"
	// FullDiskAcked acknowledges what found no space on the disk.
	FullDiskAcked = "full-disk-acked"
	// RetryKeepsOverwritten takes an entry for written when a full disk has space again, since the log has another one at its index.
	RetryKeepsOverwritten = "retry-keeps-overwritten"
)

// What leaders do wrong.
const (
	// SessionOutlivesTerm has an old leader acknowledge what its successor wrote at the same offset.
	SessionOutlivesTerm = "session-outlives-term"
	// DedupeLostOnFailover has a new leader know no producer of old, and take whatever sequence comes.
	DedupeLostOnFailover = "dedupe-lost-on-failover"
	// DedupeWindowShort remembers one batch of a producer less than may be in flight.
	DedupeWindowShort = "dedupe-window-short"
	// BatchHalfApplied writes the first half of a batch's records.
	BatchHalfApplied = "batch-half-applied"
	// OffsetSkippedAfterConf has the leader leave an offset out after a membership change.
	OffsetSkippedAfterConf = "offset-skipped-after-conf"
	// TrimNotReplicated moves the log start on the leader alone.
	TrimNotReplicated = "trim-not-replicated"
	// RetentionByClientClock takes the age of a segment from its records' timestamps.
	RetentionByClientClock = "retention-by-client-clock"
)

// What readers are told.
const (
	// ReadAboveCommit serves what is in the log and not committed.
	ReadAboveCommit = "read-above-commit"
	// StaleLeaderServesEnd answers for the end of a partition without asking whether it still leads.
	StaleLeaderServesEnd = "stale-leader-serves-end"
	// ReadIndexSkipped takes every linearizable read for confirmed at once.
	ReadIndexSkipped = "read-index-skipped"
	// CatchupCRCUnchecked installs files of another replica without checking what their entries hold.
	CatchupCRCUnchecked = "catchup-crc-unchecked"
)

// What becomes of replicas and their data.
const (
	// WipedReplicaKeepsID gives a broker whose disk was emptied its old ids, since it comes from the same address.
	WipedReplicaKeepsID = "wiped-replica-keeps-id"
	// DeletedReplicaMadeAgain forgets at a restart up to which revision replicas were deleted.
	DeletedReplicaMadeAgain = "deleted-replica-made-again"
	// InstallForgetsTerm starts an installed replica in the term of its last entry, not in that of its source.
	InstallForgetsTerm = "install-forgets-term"
	// OrphanDeleted deletes data that the newest state does not name.
	OrphanDeleted = "orphan-deleted"
	// StrayDeleted deletes what a recovered controller group knows nothing of.
	StrayDeleted = "stray-deleted"
)
