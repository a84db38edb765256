package peer

import (
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/partition/multiraft"
)

const (
	frameVersion = 1
	headerLen    = 5 // version, size of meta

	// maxFrame is the largest frame that is read or written, in bytes. A message is never cut, so one with the largest
	// batch, partition.MaxBatchBytes, must fit.
	maxFrame = 16 << 20
	// The counts below bound what a frame of few bytes can make the receiver allocate: a raft message takes two bytes in
	// meta and some 400 in memory.
	maxMessages      = 1 << 16
	maxFrameEntries  = 1 << 18
	maxPacketsAFrame = 1 << 14

	frameSlack = 4096 // what a frame has beside its packets, generously
	packetCost = 80   // what a packet has beside its lists, at most

	// The writer closes a frame when it has this much. Larger frames gain nothing and delay what follows.
	frameTarget        = 1 << 20
	frameTargetEntries = 1 << 15
	frameTargetMsgs    = 1 << 14
)

// Flags of a packet.
const (
	hasHeartbeat = 1 << iota
	hasLeadersSeq
	hasNoLead
	hasLeaders
	hasMessages
	leadersFull
	heartbeatAck
)

// Fields of a raft message that are set. rejectTrue is the value of reject.
const (
	msgType = 1 << iota
	msgTo
	msgFrom
	msgTerm
	msgLogTerm
	msgIndex
	msgCommit
	msgVote
	msgRejectHint
	msgReject
	msgContext
	msgEntries
	rejectTrue
)

// Fields of an entry that are set. entryFollows says that term and index are set, equal to the previous entry's term
// and to its index plus one, and not written.
const (
	entryType = 1 << iota
	entryTerm
	entryIndex
	entryData
	entryFollows
)

var (
	errFrameVersion = fmt.Errorf("peer: a frame of another version than %d", frameVersion)
	errBadFrame     = errors.New("peer: malformed frame")
	errTooLarge     = fmt.Errorf("peer: a raft message above the %d MiB a frame may have: lower max.message.bytes", maxFrame>>20)
	errSnapshot     = errors.New("peer: a raft snapshot or storage message must not be sent to a peer")
)

// outFrame is a frame about to be written; codec.Marshal makes it bytes.
type outFrame struct {
	head []byte   // header and meta; the frame's own
	data [][]byte // Data of entries, shared with raft, never changed
}

// cost is what a packet weighs in a queue and in a frame.
type cost struct {
	bytes, messages, entries int
}

func (c *cost) add(o cost) {
	c.bytes += o.bytes
	c.messages += o.messages
	c.entries += o.entries
}

// costOf estimates from above what p takes in a frame.
func costOf(p *multiraft.Packet) cost {
	c := cost{bytes: packetCost + 31*len(p.NoLead) + 21*len(p.Leaders)}
	for _, m := range p.Messages {
		c.add(costOfMessage(m))
	}
	return c
}

func costOfMessage(m multiraft.Message) cost {
	c := cost{bytes: 128, messages: 1}
	if m.Raft == nil {
		return c
	}
	c.bytes += len(m.Raft.Context)
	c.entries = len(m.Raft.Entries)
	for _, e := range m.Raft.Entries {
		c.bytes += 32 + len(e.GetData())
	}
	return c
}

// full tells whether a frame that has c should be closed.
func (c cost) full() bool {
	return c.bytes >= frameTarget || c.messages >= frameTargetMsgs || c.entries >= frameTargetEntries
}

// fits tells whether o may be added to a frame that has c.
func (c cost) fits(o cost) bool {
	return c.bytes+o.bytes <= maxFrame-frameSlack && c.messages+o.messages <= maxMessages && c.entries+o.entries <= maxFrameEntries
}

// check refuses what could never be sent or read.
func check(p *multiraft.Packet) error {
	for _, m := range p.Messages {
		if m.Raft == nil {
			return errBadFrame
		}
		if m.Raft.Snapshot != nil || len(m.Raft.Responses) > 0 {
			return errSnapshot
		}
		if c := costOfMessage(m); !(cost{bytes: packetCost}).fits(c) {
			return errTooLarge
		}
	}
	if len(p.NoLead)+len(p.Leaders) > maxFrame/64 {
		return errTooLarge
	}
	return nil
}

// split cuts a packet too large for one frame into several with the same meaning: everything else goes first, and messages
// stay in order.
func split(p *multiraft.Packet) []*multiraft.Packet {
	var parts []*multiraft.Packet
	if p.Heartbeat != nil || len(p.NoLead) > 0 || len(p.Leaders) > 0 || p.LeadersFull || p.LeadersSeq != 0 {
		rest := *p
		rest.Messages = nil
		parts = append(parts, &rest)
	}
	from, c := 0, cost{}
	cut := func(to int) {
		if to > from {
			parts = append(parts, &multiraft.Packet{Nonce: p.Nonce, Messages: p.Messages[from:to:to]})
		}
		from, c = to, cost{}
	}
	for i, m := range p.Messages {
		mc := costOfMessage(m)
		if c.full() || !c.fits(mc) {
			cut(i)
		}
		c.add(mc)
	}
	cut(len(p.Messages))
	return parts
}

// size is the frame's length in bytes.
func (f *outFrame) size() int {
	n := len(f.head)
	for _, d := range f.data {
		n += len(d)
	}
	return n
}
