package peer

import (
	"encoding/binary"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// encoder makes frames. Its scratch is reused; what it gives away is not. Not for concurrent use.
type encoder struct {
	meta []byte
}

// encode writes packets, which passed check, as one frame.
func (e *encoder) encode(packets []*multiraft.Packet) *outFrame {
	f := &outFrame{}
	b := append(e.meta[:0], frameVersion, 0, 0, 0, 0)
	b = binary.AppendUvarint(b, uint64(len(packets)))
	for _, p := range packets {
		b = appendPacket(b, p, f)
	}
	binary.LittleEndian.PutUint32(b[1:], uint32(len(b)-headerLen))
	// gRPC reads the bytes after the call returned: they need to be a copy of the scratch.
	f.head = append(make([]byte, 0, len(b)), b...)
	e.meta = b
	if cap(e.meta) > 1<<20 { // a rare giant must not be kept for good
		e.meta = nil
	}
	return f
}

func appendPacket(b []byte, p *multiraft.Packet, f *outFrame) []byte {
	var flags byte
	set := func(on bool, flag byte) {
		if on {
			flags |= flag
		}
	}
	set(p.Heartbeat != nil, hasHeartbeat)
	set(p.Heartbeat != nil && p.Heartbeat.Ack, heartbeatAck)
	set(p.LeadersSeq != 0, hasLeadersSeq)
	set(len(p.NoLead) > 0, hasNoLead)
	set(len(p.Leaders) > 0, hasLeaders)
	set(len(p.Messages) > 0, hasMessages)
	set(p.LeadersFull, leadersFull)
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint64(b, p.Nonce)
	if h := p.Heartbeat; h != nil {
		b = binary.AppendUvarint(b, h.Seq)
		b = binary.LittleEndian.AppendUint64(b, h.EchoNonce)
		b = binary.AppendVarint(b, h.ClockMS)
	}
	if p.LeadersSeq != 0 {
		b = binary.AppendUvarint(b, p.LeadersSeq)
	}
	if len(p.NoLead) > 0 {
		b = binary.AppendUvarint(b, uint64(len(p.NoLead)))
		for _, n := range p.NoLead {
			b = binary.AppendUvarint(b, n.Group)
			b = binary.AppendUvarint(b, n.Replica)
			b = binary.AppendUvarint(b, n.Term)
		}
	}
	if len(p.Leaders) > 0 {
		b = binary.AppendUvarint(b, uint64(len(p.Leaders)))
		for _, l := range p.Leaders {
			b = binary.AppendUvarint(b, l.Group)
			b = binary.AppendUvarint(b, l.Term)
			b = append(b, boolByte(l.Leads))
		}
	}
	if len(p.Messages) > 0 {
		b = binary.AppendUvarint(b, uint64(len(p.Messages)))
		for _, m := range p.Messages {
			b = binary.AppendUvarint(b, m.Group)
			b = appendMessage(b, m.Raft, f)
		}
	}
	return b
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func appendMessage(b []byte, m *raftpb.Message, f *outFrame) []byte {
	var present uint64
	if m.Type != nil {
		present |= msgType
	}
	nums := [...]*uint64{m.To, m.From, m.Term, m.LogTerm, m.Index, m.Commit, m.Vote, m.RejectHint} // msgTo to msgRejectHint
	for i, n := range nums {
		if n != nil {
			present |= msgTo << i
		}
	}
	if m.Reject != nil {
		present |= msgReject
		if *m.Reject {
			present |= rejectTrue
		}
	}
	if m.Context != nil {
		present |= msgContext
	}
	if len(m.Entries) > 0 {
		present |= msgEntries
	}
	b = binary.AppendUvarint(b, present)
	if m.Type != nil {
		b = binary.AppendUvarint(b, uint64(uint32(*m.Type)))
	}
	for _, n := range nums {
		if n != nil {
			b = binary.AppendUvarint(b, *n)
		}
	}
	if m.Context != nil {
		b = binary.AppendUvarint(b, uint64(len(m.Context)))
		b = append(b, m.Context...)
	}
	if len(m.Entries) > 0 {
		b = binary.AppendUvarint(b, uint64(len(m.Entries)))
		var prev *raftpb.Entry
		for _, e := range m.Entries {
			b = appendEntry(b, e, prev)
			if len(e.GetData()) > 0 {
				f.data = append(f.data, e.Data)
			}
			prev = e
		}
	}
	return b
}

func appendEntry(b []byte, e, prev *raftpb.Entry) []byte {
	var present byte
	follows := prev != nil && e.Term != nil && e.Index != nil && prev.Term != nil && prev.Index != nil &&
		*e.Term == *prev.Term && *e.Index == *prev.Index+1
	switch {
	case follows:
		present |= entryFollows
	default:
		if e.Term != nil {
			present |= entryTerm
		}
		if e.Index != nil {
			present |= entryIndex
		}
	}
	if e.Type != nil {
		present |= entryType
	}
	if e.Data != nil {
		present |= entryData
	}
	b = append(b, present)
	if e.Type != nil {
		b = binary.AppendUvarint(b, uint64(uint32(*e.Type)))
	}
	if present&entryTerm != 0 {
		b = binary.AppendUvarint(b, *e.Term)
	}
	if present&entryIndex != 0 {
		b = binary.AppendUvarint(b, *e.Index)
	}
	if e.Data != nil {
		b = binary.AppendUvarint(b, uint64(len(e.Data)))
	}
	return b
}
