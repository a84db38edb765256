package main

import (
	"fmt"
	"strings"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// moveJSON is a partition's move under way.
type moveJSON struct {
	ID        uint64 `json:"id"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// From and To are broker ids; the first is the preferred leader.
	From []int32 `json:"from"`
	To   []int32 `json:"to"`
	// Phase: proposed, installing, learner, caught_up, joint, left.
	Phase      string `json:"phase"`
	Kind       string `json:"kind"`
	Reason     string `json:"reason"`
	Cancelled  bool   `json:"cancelled"`
	BytesDone  int64  `json:"bytes_done"`
	BytesTotal int64  `json:"bytes_total"`
	// Waiting is what it waits for; empty if it is going on.
	Waiting string `json:"waiting"`
}

// blockedJSON is something that should be done and cannot be.
type blockedJSON struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Broker    int32  `json:"broker"`
	Reason    string `json:"reason"`
}

func moveOf(m *runnelv1.MoveDescription) moveJSON {
	return moveJSON{
		ID: m.GetId(), Topic: m.GetTopic(), Partition: m.GetPartition(), From: list(m.GetFrom()), To: list(m.GetTo()),
		Phase: m.GetPhase(), Kind: m.GetKind(), Reason: m.GetReason(), Cancelled: m.GetCancelled(),
		BytesDone: m.GetBytesDone(), BytesTotal: m.GetBytesTotal(), Waiting: m.GetWaiting(),
	}
}

func movesOf(ms []*runnelv1.MoveDescription) []moveJSON { return each(ms, moveOf) }

func blockedOf(bs []*runnelv1.BlockedChange) []blockedJSON {
	return each(bs, func(b *runnelv1.BlockedChange) blockedJSON {
		return blockedJSON{b.GetTopic(), b.GetPartition(), b.GetBroker(), b.GetReason()}
	})
}

// each converts a list; never to null, which JSON would show for nil.
func each[T, U any](ts []T, f func(T) U) []U {
	us := make([]U, 0, len(ts))
	for _, t := range ts {
		us = append(us, f(t))
	}
	return us
}

// orNull converts what may be absent; JSON shows null for that, or leaves it out.
func orNull[T, U any](t *T, f func(*T) U) *U {
	if t == nil {
		return nil
	}
	u := f(t)
	return &u
}

// list is a copy that is never nil.
func list[T any](ts []T) []T { return append([]T{}, ts...) }

func moveGrid(ms []*runnelv1.MoveDescription) *grid {
	g := newGrid("MOVE", "TOPIC", "PARTITION", "FROM", "TO", "PHASE", "RECEIVED", "WHY", "WAITING-FOR")
	for _, m := range ms {
		g.add(m.GetId(), shortName(m.GetTopic()), m.GetPartition(), ids(m.GetFrom()), ids(m.GetTo()), phase(m), received(m),
			why(m.GetKind(), m.GetReason()), orDash(m.GetWaiting()))
	}
	return g
}

func blockedGrid(bs []*runnelv1.BlockedChange) *grid {
	g := newGrid("BLOCKED", "PARTITION", "ON-BROKER", "REASON")
	for _, b := range bs {
		g.add(shortName(b.GetTopic()), b.GetPartition(), orNone(int64(b.GetBroker()), "-"), orDash(b.GetReason()))
	}
	return g
}

func phase(m *runnelv1.MoveDescription) string {
	p := strings.ReplaceAll(m.GetPhase(), "_", " ")
	if m.GetCancelled() {
		return p + ", cancelled"
	}
	return p
}

// received tells how much of the log the new replicas have. When they are installed it says no more.
func received(m *runnelv1.MoveDescription) string {
	if m.GetBytesTotal() <= 0 {
		return "-"
	}
	return fmt.Sprintf("%d%% of %s", partOf(100, m.GetBytesDone(), m.GetBytesTotal()), size(m.GetBytesTotal()))
}

// why is the reason, or the kind of a move without one.
func why(kind, reason string) string {
	if reason != "" {
		return reason
	}
	return orDash(strings.ReplaceAll(kind, "_", " "))
}

// partOf is the part of whole that done is of total. Of nothing, all is done.
func partOf(whole, done, total int64) int64 {
	if total <= 0 {
		return whole
	}
	return max(0, min(whole, int64(float64(done)/float64(total)*float64(whole))))
}

// size writes bytes for a person.
func size(n int64) string {
	if n < 1<<10 {
		return plural(n, "byte")
	}
	f, units := float64(n)/(1<<10), "KMGTP"
	for f >= 1023.95 && len(units) > 1 {
		f, units = f/(1<<10), units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", f, units[0])
}
