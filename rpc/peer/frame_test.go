package peer

import (
	"bytes"
	"runtime"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// frameBytes is what a frame is on the wire, cut into buffers of size bytes as the transport might.
func frameBytes(f *outFrame, size int) mem.BufferSlice {
	all := append([]byte(nil), f.head...)
	for _, d := range f.data {
		all = append(all, d...)
	}
	var out mem.BufferSlice
	for len(all) > 0 {
		n := min(size, len(all))
		out = append(out, mem.SliceBuffer(all[:n]))
		all = all[n:]
	}
	return out
}

func samePackets(t interface {
	Helper()
	Fatalf(string, ...any)
}, got, want []*multiraft.Packet) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range want {
		g, w := *got[i], *want[i]
		if len(g.Messages) != len(w.Messages) {
			t.Fatalf("packet %d: %d messages, want %d", i, len(g.Messages), len(w.Messages))
		}
		for j := range w.Messages {
			if g.Messages[j].Group != w.Messages[j].Group || !proto.Equal(g.Messages[j].Raft, w.Messages[j].Raft) {
				t.Fatalf("packet %d message %d: %v, want %v", i, j, g.Messages[j], w.Messages[j])
			}
		}
		if (g.Heartbeat == nil) != (w.Heartbeat == nil) || g.Heartbeat != nil && *g.Heartbeat != *w.Heartbeat {
			t.Fatalf("packet %d: heartbeat %v, want %v", i, g.Heartbeat, w.Heartbeat)
		}
		if g.Nonce != w.Nonce || g.LeadersFull != w.LeadersFull || g.LeadersSeq != w.LeadersSeq ||
			!equalSlices(g.NoLead, w.NoLead) || !equalSlices(g.Leaders, w.Leaders) {
			t.Fatalf("packet %d: %+v, want %+v", i, g, w)
		}
	}
}

func equalSlices[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func optional[T any](t *rapid.T, name string, g *rapid.Generator[T]) *T {
	if !rapid.Bool().Draw(t, name+" set") {
		return nil
	}
	v := g.Draw(t, name)
	return &v
}

func optionalBytes(t *rapid.T, name string, longest int) []byte {
	if !rapid.Bool().Draw(t, name+" set") {
		return nil
	}
	return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, longest).Draw(t, name)...)
}

func drawMessage(t *rapid.T) *raftpb.Message {
	u := rapid.Uint64()
	m := &raftpb.Message{
		To: optional(t, "to", u), From: optional(t, "from", u), Term: optional(t, "term", u), LogTerm: optional(t, "logTerm", u),
		Index: optional(t, "index", u), Commit: optional(t, "commit", u), Vote: optional(t, "vote", u),
		Reject: optional(t, "reject", rapid.Bool()), RejectHint: optional(t, "rejectHint", u), Context: optionalBytes(t, "context", 20),
		Type: optional(t, "type", rapid.Map(rapid.Int32Range(0, 22), func(v int32) raftpb.MessageType { return raftpb.MessageType(v) })),
	}
	next := u.Draw(t, "first index")
	for range rapid.IntRange(0, 5).Draw(t, "entries") {
		e := &raftpb.Entry{
			Term: optional(t, "entry term", rapid.Uint64Range(1, 3)), Data: optionalBytes(t, "data", 40),
			Type: optional(t, "entry type", rapid.Map(rapid.Int32Range(0, 2), func(v int32) raftpb.EntryType { return raftpb.EntryType(v) })),
		}
		if rapid.Bool().Draw(t, "follows") {
			next++
			index := next
			e.Index = &index
		} else {
			e.Index = optional(t, "entry index", u)
		}
		m.Entries = append(m.Entries, e)
	}
	return m
}

func drawPacket(t *rapid.T) *multiraft.Packet {
	u := rapid.Uint64()
	p := &multiraft.Packet{Nonce: u.Draw(t, "nonce"), LeadersFull: rapid.Bool().Draw(t, "full"), LeadersSeq: u.Draw(t, "seq")}
	if rapid.Bool().Draw(t, "heartbeat") {
		p.Heartbeat = &multiraft.Heartbeat{Seq: u.Draw(t, "hb"), Ack: rapid.Bool().Draw(t, "ack"), EchoNonce: u.Draw(t, "echo"), ClockMS: rapid.Int64().Draw(t, "clock")}
	}
	for range rapid.IntRange(0, 3).Draw(t, "noleads") {
		p.NoLead = append(p.NoLead, multiraft.NoLead{Group: u.Draw(t, "g"), Replica: u.Draw(t, "r"), Term: u.Draw(t, "t")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "leaders") {
		p.Leaders = append(p.Leaders, multiraft.LeaderDelta{Group: u.Draw(t, "g"), Term: u.Draw(t, "t"), Leads: rapid.Bool().Draw(t, "l")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "messages") {
		p.Messages = append(p.Messages, multiraft.Message{Group: u.Draw(t, "group"), Raft: drawMessage(t)})
	}
	return p
}

// What is sent arrives equal, nil fields and empty data told apart, however the transport cuts it.
func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var enc encoder
		packets := rapid.SliceOfN(rapid.Custom(drawPacket), 0, 4).Draw(t, "packets")
		f := enc.encode(packets)
		var in inFrame
		if err := in.decode(frameBytes(f, rapid.IntRange(1, 100).Draw(t, "cut"))); err != nil {
			t.Fatal(err)
		}
		samePackets(t, in.packets, packets)
		c := cost{bytes: frameSlack}
		for _, p := range packets {
			c.add(costOf(p))
		}
		if f.size() > c.bytes {
			t.Fatalf("a frame of %d bytes was estimated at %d: frames could grow above their limit", f.size(), c.bytes)
		}
	})
}

// Every proper prefix, and the frame with a byte more, is malformed: nothing is half read.
func TestFrameCutShortIsRefused(t *testing.T) {
	var enc encoder
	f := enc.encode([]*multiraft.Packet{appendPacketOf(7, 3, 10), {Nonce: 1, Leaders: []multiraft.LeaderDelta{{Group: 1, Term: 2, Leads: true}}}})
	whole := frameBytes(f, 1<<20).Materialize()
	var in inFrame
	for n := range whole {
		if in.decode(mem.BufferSlice{mem.SliceBuffer(whole[:n])}) == nil {
			t.Fatalf("a frame cut to %d of %d bytes was read", n, len(whole))
		}
	}
	if in.decode(mem.BufferSlice{mem.SliceBuffer(append(bytes.Clone(whole), 0))}) == nil {
		t.Fatal("a frame with a byte too many was read")
	}
}

// A message's entries share one buffer of exactly their size, and no two messages share one: a tail that keeps one group's
// small entry must not keep a whole frame.
func TestSmallEntriesDoNotPinTheirFrame(t *testing.T) {
	var enc encoder
	f := enc.encode([]*multiraft.Packet{appendPacketOf(1, 2, 8), appendPacketOf(2, 1, 1<<20)})
	var in inFrame
	if err := in.decode(frameBytes(f, 16<<10)); err != nil {
		t.Fatal(err)
	}
	small := in.packets[0].Messages[0].Raft.Entries
	all := small[0].Data[:cap(small[0].Data):cap(small[0].Data)]
	if len(all) != 8 {
		t.Fatalf("an entry of 8 bytes can grow into its neighbour: capacity %d", len(all))
	}
	if &small[0].Data[0] == &small[1].Data[0] {
		t.Fatal("two entries share bytes")
	}
	big := in.packets[1].Messages[0].Raft.Entries[0].Data
	if cap(big) != 1<<20 {
		t.Fatalf("capacity of the large entry %d", cap(big))
	}
}

// A count that the rest of the frame cannot hold is refused before memory is taken for it.
func TestLyingCountsCostNothing(t *testing.T) {
	meta := []byte{1, hasMessages, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}
	frame := append([]byte{frameVersion, byte(len(meta)), 0, 0, 0}, meta...)
	var in inFrame
	allocs := testing.AllocsPerRun(10, func() {
		if in.decode(mem.BufferSlice{mem.SliceBuffer(frame)}) == nil {
			t.Fatal("accepted")
		}
	})
	if allocs > 12 {
		t.Fatalf("%v allocations", allocs)
	}
	// Data longer than what follows.
	f := (&encoder{}).encode([]*multiraft.Packet{appendPacketOf(1, 1, 8<<20)})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if in.decode(mem.BufferSlice{mem.SliceBuffer(f.head)}) == nil {
		t.Fatal("a frame without its data was read")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Fatalf("%d bytes allocated for data that did not come", n)
	}
}

func TestSplitKeepsOrderAndFits(t *testing.T) {
	p := &multiraft.Packet{Nonce: 9, Heartbeat: &multiraft.Heartbeat{Seq: 1}, Leaders: []multiraft.LeaderDelta{{Group: 1, Term: 1}}, LeadersSeq: 4}
	for i := range 40 {
		p.Messages = append(p.Messages, multiraft.Message{Group: uint64(i), Raft: appendPacketOf(uint64(i), 1, 1<<20).Messages[0].Raft})
	}
	next := uint64(0)
	parts := split(p)
	if parts[0].Heartbeat == nil || len(parts[0].Leaders) != 1 || parts[0].LeadersSeq != 4 {
		t.Fatal("the first part lacks what is not messages")
	}
	for i, part := range parts {
		if part.Nonce != 9 || i > 0 && (part.Heartbeat != nil || part.Leaders != nil) {
			t.Fatalf("part %d: %+v", i, part)
		}
		if c := costOf(part); !(cost{}).fits(c) {
			t.Fatalf("part %d is too large: %+v", i, c)
		}
		for _, m := range part.Messages {
			if m.Group != next {
				t.Fatalf("message of group %d where %d belongs", m.Group, next)
			}
			next++
		}
	}
	if next != 40 {
		t.Fatalf("%d messages left", next)
	}
}

func TestSnapshotsAndGiantsAreRefused(t *testing.T) {
	snap := &multiraft.Packet{Messages: []multiraft.Message{{Group: 1, Raft: &raftpb.Message{Snapshot: &raftpb.Snapshot{}}}}}
	if check(snap) == nil {
		t.Fatal("a snapshot passed")
	}
	if check(appendPacketOf(1, 1, maxFrame)) == nil {
		t.Fatal("an entry above a frame's size passed")
	}
	if err := check(appendPacketOf(1, 1, 8<<20)); err != nil {
		t.Fatal(err)
	}
}

// appendPacketOf makes a packet with one MsgApp of entries of size bytes.
func appendPacketOf(group uint64, entries, size int) *multiraft.Packet {
	typ := raftpb.MsgApp
	m := &raftpb.Message{Type: &typ, To: proto.Uint64(2), From: proto.Uint64(1), Term: proto.Uint64(5), Index: proto.Uint64(100), LogTerm: proto.Uint64(5), Commit: proto.Uint64(99)}
	for i := range entries {
		m.Entries = append(m.Entries, &raftpb.Entry{Term: proto.Uint64(5), Index: proto.Uint64(uint64(101 + i)), Data: bytes.Repeat([]byte{byte(i + 1)}, size)})
	}
	return &multiraft.Packet{Nonce: 1, Messages: []multiraft.Message{{Group: group, Raft: m}}}
}
