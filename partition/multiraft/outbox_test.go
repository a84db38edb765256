package multiraft

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/raft/v3/raftpb"
)

// What is held for a broker that gets no heartbeats is never fetched.
func TestOutboxHoldsForListedBrokersOnly(t *testing.T) {
	o := newOutbox(1, deafTransport{}, newMetrics(prometheus.NewRegistry()))
	m := Message{Group: 1, Raft: &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum()}}
	if o.hold(2, m) {
		t.Error("held for a broker although none is listed")
	}
	o.setBrokers([]int32{2, 3})
	for range 2 { // also after what was held is taken
		if !o.hold(2, m) || !o.hold(3, m) || o.hold(4, m) {
			t.Error("not held for the listed brokers 2 and 3 alone")
		}
		if ms := o.takeHeld(2); len(ms) != 1 {
			t.Errorf("%d messages wait for broker 2, want 1", len(ms))
		}
	}
	o.setBrokers([]int32{2, 4})
	if o.hold(3, m) || len(o.held[3]) > 0 {
		t.Error("messages are kept for a broker that is no longer listed")
	}
	o.setBrokers([]int32{2, 3, 4})
	if ms := o.takeHeld(3); len(ms) > 0 {
		t.Error("messages from before broker 3 was dropped go out")
	}
	for range maxHeld {
		o.hold(4, m)
	}
	if o.hold(4, m) {
		t.Error("held beyond the bound")
	}
	o.setBrokers([]int32{4})
	if ms := o.takeHeld(4); len(ms) != maxHeld {
		t.Errorf("%d messages wait for broker 4 after it was listed again, want %d", len(ms), maxHeld)
	}
}

// A leader goes on reaching a member on a broker that is not listed, without waiting for a heartbeat that never leaves.
func TestHostListsItsBrokersInTheOutbox(t *testing.T) {
	h, _ := ledHost(t, 1)
	m := Message{Group: 1, Raft: &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum()}}
	if h.out.hold(1, m) || !h.out.hold(2, m) || h.out.hold(9, m) {
		t.Error("held for other brokers than those of SetBrokers")
	}
	h.SetBrokers([]int32{1, 3})
	if len(h.out.takeHeld(2)) > 0 {
		t.Error("kept for a broker that was taken from the list")
	}
}

// A last word that waits for a broker that gets no heartbeats would wait until the list of brokers changes.
func TestLastWordsAreOwedToListedBrokersOnly(t *testing.T) {
	o := newOutbox(1, deafTransport{}, newMetrics(prometheus.NewRegistry()))
	until := time.Unix(100, 0)
	o.owe(2, NoLead{Group: 1}, until)
	o.setBrokers([]int32{2})
	if ns := o.owedTo(2); len(ns) > 0 {
		t.Errorf("%d last words from before the broker was listed", len(ns))
	}
	o.owe(2, NoLead{Group: 1}, until)
	if ns := o.owedTo(2); len(ns) != 1 {
		t.Errorf("%d last words, want 1", len(ns))
	}
	o.told(2, until)
	o.setBrokers(nil)
	o.owe(2, NoLead{Group: 1}, until)
	if ns := o.owedTo(2); len(ns) > 0 {
		t.Errorf("%d last words for a broker that is no longer listed", len(ns))
	}
}
