package peer

import (
	"math"
	"strconv"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/record"
)

// TestTheLargestBatchFitsAFrame ties what a topic may allow to what a frame carries: a batch in the log that can never be
// sent would keep its partition from its followers for good.
func TestTheLargestBatchFitsAFrame(t *testing.T) {
	parse := func(n int) (partition.Settings, error) {
		return partition.ParseSettings(map[string]string{"max.message.bytes": strconv.Itoa(n)})
	}
	if s, err := parse(partition.MaxBatchBytes); err != nil || int(s.MaxMessageBytes) != partition.MaxBatchBytes {
		t.Fatalf("the largest setting: %+v, %v", s, err)
	}
	if _, err := parse(partition.MaxBatchBytes + 1); err == nil {
		t.Fatal("a setting above the largest batch is accepted")
	}

	all := proto.Uint64(math.MaxUint64)
	typ, entry := raftpb.MsgApp, raftpb.EntryNormal
	largest := &multiraft.Packet{
		Nonce: math.MaxUint64, LeadersSeq: math.MaxUint64, LeadersFull: true,
		Heartbeat: &multiraft.Heartbeat{Seq: math.MaxUint64, Ack: true, EchoNonce: math.MaxUint64, ClockMS: math.MinInt64},
		Messages: []multiraft.Message{{Group: math.MaxUint64, Raft: &raftpb.Message{
			Type: &typ, To: all, From: all, Term: all, LogTerm: all, Index: all, Commit: all, Vote: all,
			Reject: proto.Bool(true), RejectHint: all, Context: make([]byte, 1024),
			Entries: []*raftpb.Entry{{Type: &entry, Term: all, Index: all, Data: make([]byte, record.EnvelopeLen+partition.MaxBatchBytes)}},
		}}},
	}
	if err := check(largest); err != nil {
		t.Fatalf("refused: %v", err)
	}
	for _, part := range append(split(largest), largest) {
		f := (&encoder{}).encode([]*multiraft.Packet{part})
		if f.size() > maxFrame {
			t.Fatalf("%d bytes, a frame has %d", f.size(), maxFrame)
		}
		var in inFrame
		if err := in.decode(frameBytes(f, 1<<20)); err != nil {
			t.Fatal(err)
		}
		samePackets(t, in.packets, []*multiraft.Packet{part})
	}

	// And over the wire, where gRPC and the queues have bounds of their own.
	a, b := two(t)
	if !a.Send(2, multiraft.LaneAppend, appendPacketOf(1, 1, record.EnvelopeLen+partition.MaxBatchBytes)) {
		t.Fatal("dropped")
	}
	if r := next(t, b.received, "the packet"); len(r.p.Messages[0].Raft.Entries[0].Data) != record.EnvelopeLen+partition.MaxBatchBytes {
		t.Fatal("it arrived changed")
	}
}
