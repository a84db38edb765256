package main

import "github.com/runnel-io/runnel/partition/env/mutant"

// layer is a layer of tests.
type layer string

const (
	unit  layer = "unit"  // one test of a package
	sim   layer = "sim"   // bench/sim: whole clusters in one process, by seed
	crash layer = "crash" // bench/crash: what the store wrote, cut off anywhere
	chaos layer = "chaos" // bench/chaos: real brokers
)

// entry says who must find a bug. To move it to another layer, change that one word: what the layers need to know stands below. A bug that two
// layers must find has two entries.
type entry struct {
	name  string
	layer layer
	// sees are the invariants of which a violation counts as caught (RELIABILITY). "run" is what a layer calls a broker that panics or
	// cannot run: it counts only where it is named.
	sees []string

	// pkg and tests are the tests that find it as a unit, says is in what they print (a regular expression).
	pkg, tests, says string
	// faults are those that a run of real brokers needs.
	faults string
}

var entries = []entry{
	// What acknowledges or promises too early.
	{name: mutant.AckBeforeFsync, layer: sim, sees: []string{"I1", "I15"}},
	{name: mutant.EntriesAfterMessage, layer: sim, sees: []string{"I1", "I15"}},
	{name: mutant.VoteNotPersisted, layer: crash, sees: []string{"I15"},
		pkg: "partition/raftlog", tests: "TestPowerCutAtAnyPointLosesNothingAcknowledged", says: `term and vote are \[\d+ 0\], acknowledged`},
	{name: mutant.TermNotPersisted, layer: crash, sees: []string{"I15", "run"}, // a log that is ahead of its term is quarantined
		pkg: "partition/raftlog", tests: "TestPowerCutAtAnyPointLosesNothingAcknowledged", says: `term and vote are|a vote may be lost`},
	{name: mutant.VotesBeforeTerm, layer: unit, sees: []string{"I15"},
		pkg: "partition/multiraft", tests: "TestRule01VotesAreAskedForOnlyOnceTheTermIsDurable", says: `votes were asked for after`},
	{name: mutant.CommitAhead, layer: crash, sees: []string{"I12", "run"}, // a log that shall overwrite what is committed stops
		pkg: "partition/raftlog", tests: "TestPowerCutAtAnyPointLosesNothingAcknowledged", says: `is above all that was committed`},
	{name: mutant.RollWithoutDirSync, layer: crash, sees: []string{"I1"},
		pkg: "partition/raftlog", tests: "TestPowerCutAtAnyPointLosesNothingAcknowledged", says: `last index \d+, acknowledged \d+|acknowledged entries are lost`},
	{name: mutant.TruncationNotSynced, layer: crash, sees: []string{"I1", "I14"},
		pkg: "partition/raftlog", tests: "TestRule05TruncationUnlinksFromTheHighestDownAfterTheTerm", says: `(?s)got .*want .*syncdir`},
	{name: mutant.QuarantineNotDurable, layer: crash, sees: []string{"I19"},
		pkg: "partition/raftlog", tests: "TestRule02FailedSyncQuarantinesDurably", says: `open after a failed sync`},
	{name: mutant.FullDiskAcked, layer: sim, sees: []string{"I1", "I15", "run"}}, // raft looks for what it was told is there
	{name: mutant.RetryKeepsOverwritten, layer: unit, sees: []string{"I1", "I14"},
		pkg: "partition/raftlog", tests: "TestAnAppendWithoutSpaceMayBeMadeAgain", says: `entry \d+/\d+ of \d+ bytes, want \d+/\d+ of`},

	// What leaders do wrong.
	{name: mutant.SessionOutlivesTerm, layer: sim, sees: []string{"I1", "I5", "I16"}},
	{name: mutant.DedupeLostOnFailover, layer: sim, sees: []string{"I6"}},
	{name: mutant.DedupeWindowShort, layer: unit, sees: []string{"I6"},
		pkg: "partition", tests: "TestOneReplicaWritesReadsAndRestarts", says: `duplicates were answered|is answered with`},
	{name: mutant.BatchHalfApplied, layer: sim, sees: []string{"I1", "I4", "I13"}},
	{name: mutant.OffsetSkippedAfterConf, layer: unit, sees: []string{"I21", "I2", "I9"},
		pkg: "partition", tests: "TestConfChangesAreNoState", says: `answered false.*want base 10`},
	{name: mutant.TrimNotReplicated, layer: sim, sees: []string{"I14", "I20", "I21"}},
	{name: mutant.RetentionByClientClock, layer: unit, sees: []string{"I20"},
		pkg: "partition", tests: "TestRetentionTarget", says: `a week: 30, want 20`},

	// What readers are told.
	{name: mutant.ReadAboveCommit, layer: sim, sees: []string{"I3", "I5", "I12"}},
	{name: mutant.StaleLeaderServesEnd, layer: sim, sees: []string{"I11"}},
	{name: mutant.ReadIndexSkipped, layer: sim, sees: []string{"I11", "I12"}},
	{name: mutant.CatchupCRCUnchecked, layer: crash, sees: []string{"I4", "I1"},
		pkg: "partition/raftlog", tests: "TestRule19DamagedSourceIsNotPropagated", says: `the damage was installed`},

	// What becomes of replicas and their data.
	{name: mutant.WipedReplicaKeepsID, layer: unit, sees: []string{"I19"},
		pkg: "placement", tests: "TestRegistrationIsKnownByIncarnation", says: `an emptied disk came back`},
	{name: mutant.DeletedReplicaMadeAgain, layer: crash, sees: []string{"I19"},
		pkg: "partition/raftlog", tests: "TestFloorRisesAndSurvivesACrash", says: `floor 0 after a crash`},
	{name: mutant.InstallForgetsTerm, layer: unit, sees: []string{"I15"},
		pkg: "partition/raftlog", tests: "TestRule19InstallsWhatWasAppliedAndCutsTheRest", says: `term \d+, vote \d+, want`},
	{name: mutant.OrphanDeleted, layer: sim, sees: []string{"I1", "I18", "I19"}},
	{name: mutant.StrayDeleted, layer: unit, sees: []string{"I18"},
		pkg: "placement/agent", tests: "TestWhatLostCommandsMadeIsStoppedAndNotDeleted", says: `that no state names is not to be deleted|a deleted topic goes: \[\]`},

	// What real brokers show, over real connections and disks.
	{name: mutant.DedupeLostOnFailover, layer: chaos, sees: []string{"I6"}, faults: "kill"},
	{name: mutant.BatchHalfApplied, layer: chaos, sees: []string{"I1", "I4", "I13"}, faults: "kill"},
	{name: mutant.ReadAboveCommit, layer: chaos, sees: []string{"I3", "I5", "I12"}, faults: "full,half"},
	{name: mutant.StaleLeaderServesEnd, layer: chaos, sees: []string{"I11"}, faults: "full,half"},
	{name: mutant.WipedReplicaKeepsID, layer: chaos, sees: []string{"I19", "run"}, faults: "wipe"}, // raft stops: the leader knows that it had more
}
