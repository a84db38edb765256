package check

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Violation is one broken promise.
type Violation struct {
	Invariant string // I1 ...
	What      string
}

func (v Violation) String() string { return v.Invariant + ": " + v.What }

// most bounds the violations answered: the first few tell what is wrong.
const most = 50

// verifier carries one check's tables.
type verifier struct {
	h     History
	sent  map[string]*Append
	found []Violation
}

// Verify answers every broken promise, at most some dozens.
func Verify(h History) []Violation {
	v := &verifier{h: h, sent: make(map[string]*Append, len(h.Appends))}
	for i := range h.Appends {
		a := &h.Appends[i]
		if v.sent[a.Value()] != nil {
			v.add("run", "the value %s was sent twice: the workload is wrong", a.Value())
		}
		v.sent[a.Value()] = a
	}
	v.finalLogs()
	v.acks()
	v.order()
	v.reads()
	v.ends()
	v.replicas()
	return v.found
}

func (v *verifier) add(invariant, format string, args ...any) {
	if len(v.found) < most {
		v.found = append(v.found, Violation{invariant, fmt.Sprintf(format, args...)})
	}
}

// finalLogs checks I2, I3, I4 and I6 of what is visible at rest.
func (v *verifier) finalLogs() {
	at := map[string]int64{}
	for p, l := range v.h.Final {
		if got := l.Start + int64(len(l.Values)); got != l.HighWatermark {
			v.add("I2", "partition %d: read up to %d, the high watermark is %d", p, got, l.HighWatermark)
		}
		for i, value := range l.Values {
			offset := l.Start + int64(i)
			v.visible(p, offset, value)
			if before, ok := at[value]; ok {
				v.add("I6", "partition %d: %s is at %d and at %d", p, value, before, offset)
			}
			at[value] = offset
		}
	}
}

// visible checks that a value may be seen at all.
func (v *verifier) visible(p int32, offset int64, value string) {
	a := v.sent[value]
	switch {
	case a == nil || a.Partition != p:
		v.add("I4", "partition %d offset %d: %q was never sent there", p, offset, value)
	case a.Outcome == Fail:
		v.add("I3", "partition %d offset %d: %s had failed for certain", p, offset, value)
	}
}

// inFinal answers the value at an offset of the final log. below: under its start.
func (v *verifier) inFinal(p int32, offset int64) (value string, below, ok bool) {
	l, have := v.h.Final[p]
	if !have {
		return "", false, false
	}
	if offset < l.Start {
		return "", true, false
	}
	if i := offset - l.Start; i < int64(len(l.Values)) {
		return l.Values[i], false, true
	}
	return "", false, false
}

// acks checks I1 and I5.
func (v *verifier) acks() {
	for _, a := range v.h.Appends {
		if a.Outcome != OK {
			continue
		}
		switch value, below, ok := v.inFinal(a.Partition, a.Offset); {
		case below:
		case !ok:
			v.add("I1", "partition %d: %s was acknowledged at %d, which is not there", a.Partition, a.Value(), a.Offset)
		case value != a.Value():
			v.add("I5", "partition %d: %s was acknowledged at %d, where %s is", a.Partition, a.Value(), a.Offset, value)
			v.add("I1", "partition %d: %s was acknowledged at %d and is not there", a.Partition, a.Value(), a.Offset)
		}
	}
}

// placed is an append with its place in the log: acknowledged, or found in the final log although its client never knew.
type placed struct {
	*Append
	offset   int64
	returned time.Duration // for ever, if the client never knew
	acked    bool
}

// order checks I7 and I8 per partition.
func (v *verifier) order() {
	byPartition := map[int32][]placed{}
	for i := range v.h.Appends {
		if a := &v.h.Appends[i]; a.Outcome == OK {
			byPartition[a.Partition] = append(byPartition[a.Partition], placed{a, a.Offset, a.Return, true})
		}
	}
	for p, l := range v.h.Final {
		for i, value := range l.Values {
			if a := v.sent[value]; a != nil && a.Outcome == Info {
				byPartition[p] = append(byPartition[p], placed{a, l.Start + int64(i), math.MaxInt64, false})
			}
		}
	}
	for p, ops := range byPartition {
		slices.SortFunc(ops, func(a, b placed) int { return int(a.offset - b.offset) })
		last := map[int]placed{}
		for _, o := range ops {
			if before, ok := last[o.Client]; ok && before.Sequence > o.Sequence {
				v.add("I7", "partition %d: client %d's %d is at %d, after its %d at %d", p, o.Client, o.Sequence, o.offset, before.Sequence, before.offset)
			}
			last[o.Client] = o
		}
		if len(ops) == 0 {
			continue
		}
		earliest := ops[len(ops)-1] // of those with higher offsets, the one that returned first
		for i := len(ops) - 2; i >= 0; i-- {
			if o := ops[i]; earliest.returned < o.Invoke {
				v.add("I8", "partition %d: %s at %d had returned before %s at %d was sent", p, earliest.Value(), earliest.offset, o.Value(), o.offset)
			}
			if ops[i].returned < earliest.returned {
				earliest = ops[i]
			}
		}
	}
}

// reads checks I3, I4, I5, I9, I10 and I12 of what readers got while the run went on.
func (v *verifier) reads() {
	type stream struct {
		reader    int
		partition int32
	}
	last := map[stream]int64{}
	for _, r := range v.h.Reads {
		key := stream{r.Reader, r.Partition}
		if before, ok := last[key]; ok {
			if r.Offset <= before {
				v.add("I10", "partition %d: reader %d got %d after %d", r.Partition, r.Reader, r.Offset, before)
			} else if r.Offset != before+1 {
				v.add("I9", "partition %d: reader %d got %d after %d", r.Partition, r.Reader, r.Offset, before)
			}
		}
		last[key] = r.Offset
		v.visible(r.Partition, r.Offset, r.Value)
		switch value, below, ok := v.inFinal(r.Partition, r.Offset); {
		case below:
		case !ok:
			v.add("I12", "partition %d: %s was read at %d, which is not there any more", r.Partition, r.Value, r.Offset)
		case value != r.Value:
			v.add("I5", "partition %d: %s was read at %d, where %s is", r.Partition, r.Value, r.Offset, value)
		}
	}
}

// ends checks I11: the highest offset acknowledged before each question.
func (v *verifier) ends() {
	acked := map[int32][]Append{}
	for _, a := range v.h.Appends {
		if a.Outcome == OK {
			acked[a.Partition] = append(acked[a.Partition], a)
		}
	}
	ends := slices.Clone(v.h.Ends)
	slices.SortFunc(ends, func(a, b End) int { return int(a.Invoke - b.Invoke) })
	for p, as := range acked {
		slices.SortFunc(as, func(a, b Append) int { return int(a.Return - b.Return) })
		i, highest := 0, int64(-1)
		for _, e := range ends {
			if e.Partition != p {
				continue
			}
			for ; i < len(as) && as[i].Return < e.Invoke; i++ {
				highest = max(highest, as[i].Offset)
			}
			if e.Offset <= highest {
				v.add("I11", "partition %d: the end was said to be %d after %d had been acknowledged", p, e.Offset, highest)
			}
		}
	}
}

// replicas checks I14.
func (v *verifier) replicas() {
	for p, hashes := range v.h.Replicas {
		want, from, first := "", int32(0), true
		for broker, hash := range hashes {
			if first {
				want, from, first = hash, broker, false
			} else if hash != want {
				v.add("I14", "partition %d: brokers %d and %d hold different logs", p, from, broker)
			}
		}
	}
}
