package multiraft

import (
	"bytes"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// The machine may reuse a proposal's memory after Turn: raft copies it. It is also one copy of every payload to count.
func TestRule32RaftCopiesWhatIsProposed(t *testing.T) {
	st := raft.NewMemoryStorage()
	if err := st.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Index: new(uint64(1)), Term: new(uint64(1)), ConfState: &raftpb.ConfState{Voters: []uint64{1}},
	}}); err != nil {
		t.Fatal(err)
	}
	rn, err := raft.NewRawNode(&raft.Config{ID: 1, ElectionTick: 10, HeartbeatTick: 1, Storage: st, MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 16})
	if err != nil {
		t.Fatal(err)
	}
	if err := rn.Campaign(); err != nil {
		t.Fatal(err)
	}
	settle := func() (entries []*raftpb.Entry) {
		for rn.HasReady() {
			rd := rn.Ready()
			entries = append(entries, rd.Entries...)
			if err := st.Append(rd.Entries); err != nil {
				t.Fatal(err)
			}
			rn.Advance(rd)
		}
		return entries
	}
	settle()
	data := []byte("payload")
	if err := rn.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(uint64(1)), Entries: []*raftpb.Entry{{Data: data}}}); err != nil {
		t.Fatal(err)
	}
	copy(data, "XXXXXXX")
	for _, e := range settle() {
		if bytes.Equal(e.GetData(), []byte("payload")) {
			return
		}
	}
	t.Fatal("the entry does not hold what was proposed")
}
