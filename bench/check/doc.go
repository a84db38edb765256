// Package check says whether what clients saw is what Runnel promises. A run records every operation as invoke, then ok, fail
// or info (outcome unknown), and reads the final log; Verify holds them against the invariants below, each named as
// in the violations it answers, and counts what it compared: an invariant without facts was not checked.
//
//	I1   no lost write           every acknowledged (offset, value) is in the final log, or below its start, which is I20's
//	I2   no unseen               the final log holds every offset from its start to the high watermark
//	I3   no aborted read         no value is visible whose append failed for certain
//	I4   no phantom              every visible value was sent, to that partition
//	I5   consistent offsets      one (partition, offset) is one value in all acks, reads and the final log
//	I6   no duplicate            a value is at one offset only
//	I7   send order              of one producer and partition, later sequences have higher offsets
//	I8   real-time order         what returned before another was sent has the lower offset
//	I9   no poll skip            a reader's offsets begin where it asked and are contiguous, or go on at a log start that was answered
//	I10  monotonic poll          and never go back
//	I11  high watermark          an end offset asked for is above every offset acknowledged before the question
//	I12  no precommitted read    everything ever read is in the final log, or below its start
//	I13  batch atomicity         batches are stored whole, all of one has one outcome, and no end lies within one
//	I14  replica agreement       all replicas hold the same bytes at rest
//	I15  election safety         nobody ever names two leaders of a partition in a term
//	I16  fencing                 terms rise with the offset, and nothing that was sent after a newer term's batch returned has an older one
//	I18  metadata                a topic whose creation was acknowledged is there, unless its deletion may have been done, and the reverse
//	I20  retention               no log start that was answered is above the final one, and nothing went that must be kept
//	I22  definite errors         what was refused for certain had no effect: no value of it is visible, no topic of it there
//
// Acknowledgements carry offsets, so the order of the log is known and the check is O(n log n): the history is
// linearizable exactly when no operation precedes another in offset order while starting after that one had returned.
//
// partition/RULES.md has what else checks each, and the rules by which the code keeps them.
//
// Callers: bench/chaos, bench/sim, bench/elastic, bench/trial. Package linear, below this one, has porcupine say the same of
// windows of a history.
package check
