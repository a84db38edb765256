package check

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// placed is an append with its place in the log: acknowledged, or found in the final log although its client never knew.
type placed struct {
	*Append
	offset   int64
	returned int64 // for ever, if the client never knew
}

// Placed gives each partition's appends whose offset is known, by offset.
func (v *verifier) placed() map[int32][]placed {
	out := map[int32][]placed{}
	for i := range v.h.Appends {
		if a := &v.h.Appends[i]; a.Outcome == OK {
			out[a.Partition] = append(out[a.Partition], placed{a, a.Offset, int64(a.Return)})
		}
	}
	for p, l := range v.h.Final {
		for i, value := range l.Values {
			if a := v.sent[value]; a != nil && a.Outcome == Info {
				out[p] = append(out[p], placed{a, l.Start + int64(i), math.MaxInt64})
			}
		}
	}
	for _, ops := range out {
		slices.SortFunc(ops, func(a, b placed) int { return cmp.Compare(a.offset, b.offset) })
	}
	return out
}

// order checks I7, I8 and I16 per partition.
func (v *verifier) order() {
	for p, ops := range v.placed() {
		v.sendOrder(p, ops)
		if len(ops) > 0 {
			v.realTime(p, ops)
		}
	}
}

func (v *verifier) sendOrder(p int32, ops []placed) {
	type producer struct{ client, producer int }
	last := map[producer]placed{}
	for _, o := range ops {
		key := producer{o.Client, o.Producer}
		if before, ok := last[key]; ok {
			v.facts["I7"]++
			if before.Sequence > o.Sequence {
				v.at("I7", p, o.offset, "client %d's %d is at %d, after its %d at %d", o.Client, o.Sequence, o.offset, before.Sequence, before.offset)
			}
		}
		last[key] = o
	}
}

// realTime goes from the last operation to the first and keeps, of those with higher offsets, the one that returned first: of all, and
// of those in a newer term.
func (v *verifier) realTime(p int32, ops []placed) {
	earliest := ops[len(ops)-1]
	var newer *placed
	term, known := v.termAt(p, earliest.offset)
	for i := len(ops) - 2; i >= 0; i-- {
		o := ops[i]
		v.facts["I8"]++
		if earliest.returned < int64(o.Invoke) {
			v.at("I8", p, o.offset, "%s at %d had returned before %s at %d was sent", earliest.Value(), earliest.offset, o.Value(), o.offset)
		}
		if t, ok := v.termAt(p, o.offset); ok {
			if known && t < term {
				e := earliest
				newer = &e
			}
			if o.Outcome == OK {
				v.facts["I16"]++
			}
			if newer != nil && newer.returned < int64(o.Invoke) {
				v.at("I16", p, o.offset, "%s at %d is of term %d and was sent after %s at %d, of a newer term, had returned", o.Value(), o.offset, t, newer.Value(), newer.offset)
			}
			term, known = t, true
		}
		if o.returned < earliest.returned {
			earliest = o
		}
	}
}

// termAt is the term of the batch that holds an offset.
func (v *verifier) termAt(p int32, offset int64) (int32, bool) {
	b, ok := v.batchAt(p, offset)
	return b.Term, ok
}

// batchAt is the stored batch that holds an offset.
func (v *verifier) batchAt(p int32, offset int64) (Batch, bool) {
	bs := v.h.Final[p].Batches
	i := sort.Search(len(bs), func(i int) bool { return bs[i].Base > offset }) - 1
	if i < 0 || offset >= bs[i].Base+int64(bs[i].Count) {
		return Batch{}, false
	}
	return bs[i], true
}

// batches checks I13 and the terms of I16.
func (v *verifier) batches() {
	for p, l := range v.h.Final {
		for i, b := range l.Batches {
			v.facts["I13"]++
			if i > 0 {
				before := l.Batches[i-1]
				if next := before.Base + int64(before.Count); b.Base != next {
					v.at("I13", p, b.Base, "a batch begins at %d, the one before it ends at %d", b.Base, next)
				}
				if b.Term < before.Term {
					v.at("I16", p, b.Base, "the batch at %d is of term %d, the one before it of term %d", b.Base, b.Term, before.Term)
				}
			}
			v.oneOutcome(p, l, b)
		}
		if n := len(l.Batches); n > 0 {
			if end := l.Batches[n-1].Base + int64(l.Batches[n-1].Count); end != l.HighWatermark {
				v.at("I13", p, l.HighWatermark, "the high watermark is %d, the last batch ends at %d", l.HighWatermark, end)
			}
		}
	}
	for _, e := range v.h.Ends {
		b, ok := v.batchAt(e.Partition, e.Offset)
		if !ok {
			continue
		}
		v.facts["I13"]++
		if b.Base != e.Offset {
			v.at("I13", e.Partition, e.Offset, "the end was said to be %d, within the batch of %d records at %d", e.Offset, b.Count, b.Base)
		}
	}
}

// oneOutcome checks that a batch's records have one client and one outcome.
func (v *verifier) oneOutcome(p int32, l Log, b Batch) {
	var first *Append
	for o := max(b.Base, l.Start); o < b.Base+int64(b.Count) && o-l.Start < int64(len(l.Values)); o++ {
		a := v.sent[l.Values[o-l.Start]]
		switch {
		case a == nil: // I4's
		case first == nil:
			first = a
		case a.Client != first.Client || a.Outcome != first.Outcome:
			v.at("I13", p, o, "the batch at %d holds %s of outcome %d and %s of outcome %d", b.Base, first.Value(), first.Outcome, a.Value(), a.Outcome)
			return
		}
	}
}
