// Package check says whether what clients saw is what Runnel promises. A run records every operation as invoke, then ok, fail
// or info (outcome unknown), and reads the final log; Verify holds them against the invariants below, each named as
// in the violations it answers.
//
//	I1   no lost write           every acknowledged (offset, value) is in the final log, or below its start
//	I2   no unseen               the final log holds every offset from its start to the high watermark
//	I3   no aborted read         no value is visible whose append failed for certain (so I22 holds too)
//	I4   no phantom              every visible value was sent, to that partition
//	I5   consistent offsets      one (partition, offset) is one value in all acks, reads and the final log
//	I6   no duplicate            a value is at one offset only
//	I7   send order              of one client and partition, later sequences have higher offsets
//	I8   real-time order         what returned before another was sent has the lower offset
//	I9   no poll skip            a reader's offsets are contiguous
//	I10  monotonic poll          and never go back
//	I11  high watermark          an end offset asked for is above every offset acknowledged before the question
//	I12  no precommitted read    everything ever read is in the final log
//	I14  replica agreement       all replicas hold the same bytes at rest
//
// Acknowledgements carry offsets, so the order of the log is known and the check is O(n log n): the history is
// linearizable exactly when no operation precedes another in offset order while starting after that one had returned.
package check
