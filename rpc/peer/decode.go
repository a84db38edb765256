package peer

import (
	"encoding/binary"
	"io"
	"math"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/grpc/mem"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// inFrame is where codec.Unmarshal puts a frame. It is reused by one reader; the packets it gives are not touched again.
type inFrame struct {
	packets []*multiraft.Packet
	bytes   int // size of the whole frame

	meta   []byte // scratch
	reader mem.Reader
}

// decode reads one frame. Nothing in the result points into data. Whatever data holds, it neither panics nor allocates more
// than a fixed multiple of its size and the counts' bounds allow.
func (f *inFrame) decode(data mem.BufferSlice) error {
	f.packets, f.bytes = nil, data.Len()
	f.reader.Reset(data)
	defer func() { _ = f.reader.Close() }() // frees the references that Reset took; it cannot fail
	var head [headerLen]byte
	if _, err := io.ReadFull(&f.reader, head[:]); err != nil {
		return errBadFrame
	}
	if head[0] != frameVersion {
		return errFrameVersion
	}
	size := binary.LittleEndian.Uint32(head[1:])
	if size > maxFrame || int(size) > f.reader.Remaining() {
		return errBadFrame
	}
	if cap(f.meta) < int(size) || cap(f.meta) > 1<<20 { // grow, or let go of a rare giant
		f.meta = make([]byte, size)
	}
	f.meta = f.meta[:size]
	if _, err := io.ReadFull(&f.reader, f.meta); err != nil {
		return errBadFrame
	}
	d := decoder{b: f.meta, data: &f.reader}
	packets := d.packets()
	if d.bad || len(d.b) > 0 || f.reader.Remaining() > 0 {
		return errBadFrame
	}
	f.packets = packets
	return nil
}

// decoder walks meta. After the first mistake bad is set and everything reads as zero.
type decoder struct {
	b    []byte
	data *mem.Reader
	bad  bool

	messages, entries int // so far in this frame
}

func (d *decoder) fail() {
	d.bad = true
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) < 1 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) fixed64() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// count reads how many elements follow. Each takes at least minBytes of what is left: a count that lies is caught before
// anything is allocated for it.
func (d *decoder) count(minBytes int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/minBytes) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) packets() []*multiraft.Packet {
	n := d.count(9)
	if n > maxPacketsAFrame {
		d.fail()
		return nil
	}
	out := make([]*multiraft.Packet, 0, n)
	for range n {
		out = append(out, d.packet())
		if d.bad {
			return nil
		}
	}
	return out
}

func (d *decoder) packet() *multiraft.Packet {
	flags := d.byte()
	p := &multiraft.Packet{Nonce: d.fixed64(), LeadersFull: flags&leadersFull != 0}
	if flags&^(hasHeartbeat|hasLeadersSeq|hasNoLead|hasLeaders|hasMessages|leadersFull|heartbeatAck) != 0 {
		d.fail() // a later version; its bytes cannot be skipped
	}
	if flags&hasHeartbeat != 0 {
		p.Heartbeat = &multiraft.Heartbeat{Ack: flags&heartbeatAck != 0}
		p.Heartbeat.Seq = d.uvarint()
		p.Heartbeat.EchoNonce = d.fixed64()
		p.Heartbeat.ClockMS = d.varint()
	}
	if flags&hasLeadersSeq != 0 {
		p.LeadersSeq = d.uvarint()
	}
	if flags&hasNoLead != 0 {
		p.NoLead = make([]multiraft.NoLead, d.count(3))
		for i := range p.NoLead {
			p.NoLead[i] = multiraft.NoLead{Group: d.uvarint(), Replica: d.uvarint(), Term: d.uvarint()}
		}
	}
	if flags&hasLeaders != 0 {
		p.Leaders = make([]multiraft.LeaderDelta, d.count(3))
		for i := range p.Leaders {
			p.Leaders[i] = multiraft.LeaderDelta{Group: d.uvarint(), Term: d.uvarint(), Leads: d.byte() != 0}
		}
	}
	if flags&hasMessages != 0 {
		n := d.count(2)
		if d.messages += n; d.messages > maxMessages {
			d.fail()
			return nil
		}
		p.Messages = make([]multiraft.Message, n)
		for i := range p.Messages {
			p.Messages[i] = multiraft.Message{Group: d.uvarint(), Raft: d.message()}
			if d.bad {
				return nil
			}
		}
	}
	return p
}

// message's memory: the raft message and what its pointers point at, in one allocation.
type messageBlock struct {
	m      raftpb.Message
	typ    raftpb.MessageType
	nums   [8]uint64
	reject bool
}

func (d *decoder) message() *raftpb.Message {
	b := &messageBlock{}
	m := &b.m
	present := d.uvarint()
	if present >= rejectTrue<<1 {
		d.fail()
		return nil
	}
	if present&msgType != 0 {
		b.typ = raftpb.MessageType(d.enum())
		m.Type = &b.typ
	}
	fields := [...]**uint64{&m.To, &m.From, &m.Term, &m.LogTerm, &m.Index, &m.Commit, &m.Vote, &m.RejectHint}
	for i, f := range fields {
		if present&(msgTo<<i) != 0 {
			b.nums[i] = d.uvarint()
			*f = &b.nums[i]
		}
	}
	if present&msgReject != 0 {
		b.reject = present&rejectTrue != 0
		m.Reject = &b.reject
	}
	if present&msgContext != 0 {
		n := d.count(1)
		m.Context = append(make([]byte, 0, n), d.b[:n]...) // of its own: meta is scratch
		d.b = d.b[n:]
	}
	if present&msgEntries != 0 {
		m.Entries = d.messageEntries()
	}
	return m
}

func (d *decoder) enum() int32 {
	v := d.uvarint()
	if v > math.MaxInt32 {
		d.fail()
		return 0
	}
	return int32(v)
}

// entryBlock is one entry and what its pointers point at.
type entryBlock struct {
	e           raftpb.Entry
	typ         raftpb.EntryType
	term, index uint64
	size        int // of Data
}

// messageEntries reads the entries of one message into two allocations for all of their structs and bytes, and one for the
// list. All of them are of one group and follow each other in its log, so they also become garbage about together.
func (d *decoder) messageEntries() []*raftpb.Entry {
	n := d.count(1)
	if d.entries += n; d.entries > maxFrameEntries {
		d.fail()
		return nil
	}
	blocks := make([]entryBlock, n)
	out := make([]*raftpb.Entry, n)
	total := 0
	for i := range blocks {
		b := &blocks[i]
		d.entry(b, blocks[:i])
		if total += b.size; d.bad || total > d.data.Remaining() {
			d.fail()
			return nil
		}
		out[i] = &b.e
	}
	if total == 0 {
		return out
	}
	buf := make([]byte, total)
	if _, err := io.ReadFull(d.data, buf); err != nil {
		d.fail()
		return nil
	}
	for i := range blocks {
		b := &blocks[i]
		if b.size > 0 {
			b.e.Data = buf[:b.size:b.size]
			buf = buf[b.size:]
		}
	}
	return out
}

func (d *decoder) entry(b *entryBlock, before []entryBlock) {
	present := d.byte()
	if present >= entryFollows<<1 {
		d.fail()
		return
	}
	if present&entryType != 0 {
		b.typ = raftpb.EntryType(d.enum())
		b.e.Type = &b.typ
	}
	if present&entryFollows != 0 {
		if len(before) == 0 || present&(entryTerm|entryIndex) != 0 {
			d.fail()
			return
		}
		prev := &before[len(before)-1]
		b.term, b.index = prev.term, prev.index+1
		b.e.Term, b.e.Index = &b.term, &b.index
	}
	if present&entryTerm != 0 {
		b.term = d.uvarint()
		b.e.Term = &b.term
	}
	if present&entryIndex != 0 {
		b.index = d.uvarint()
		b.e.Index = &b.index
	}
	if present&entryData != 0 {
		size := d.uvarint()
		if size > maxFrame {
			d.fail()
			return
		}
		b.size = int(size)
		b.e.Data = []byte{} // replaced if size > 0
	}
}
