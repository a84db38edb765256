package multiraft

import "time"

// limits are raft's and the group's bounds. All of them are multiplied by the number of groups in the worst case, so
// produce admission (package partition) bounds the sum.
type limits struct {
	messageBytes     uint64 // of entries in one MsgApp
	inflightBytes    uint64 // sent to one peer and not acknowledged
	inflightMessages int
	uncommittedBytes uint64 // proposed and not applied
	applyBytes       uint64 // of committed entries taken at once
	inboxMessages    int
	inboxBytes       int
}

func newLimits(inflight int64) limits {
	const message = 1 << 20
	return limits{
		messageBytes:     message,
		inflightBytes:    max(uint64(inflight)/4, 4*message),
		inflightMessages: 512,
		uncommittedBytes: 64 << 20,
		applyBytes:       4 << 20,
		inboxMessages:    4096,
		inboxBytes:       64 << 20,
	}
}

const (
	electionTicks = 10
	// maxReady bounds the Readys handled in one run of a worker, so that one busy group does not hold it for long.
	maxReady = 16
	// stallAfter is the age of an append in flight at which a leader gives up leading (RULES 22).
	stallAfter = 2 * time.Second
	// queueFactor is how many times longer a write may wait in the queue than an append may take.
	queueFactor = 4
	// stallTransfer is how long a stalled leader waits for its successor before it simply stops leading.
	stallTransfer = 500 * time.Millisecond
	// transferAfter is how long a transfer may take before proposals flow again (RULES 25).
	transferAfter = 200 * time.Millisecond
	// readTimeout is how long a ReadIndex may take.
	readTimeout = time.Second
	// peersEvery is how old Status.Peers may be while the group works.
	peersEvery = 100 * time.Millisecond
	// markTicks is for how many slow ticks Status shows raft's mark of a peer's activity after it was seen last.
	markTicks = 2
	// snapshotRetry is how often a peer behind retention is tried again (RULES 19).
	snapshotRetry = 10 * time.Second
	// keptPreVotes is how long a PreVote that met a lease is kept.
	keptPreVotes = time.Second
	// maintainTicks is how many slow ticks pass between two rounds of upkeep of an active log.
	maintainTicks = 3
)
