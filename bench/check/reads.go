package check

import (
	"cmp"
	"slices"
)

// reads checks I3, I4, I5, I9, I10 and I12 of what readers got while the run went on.
func (v *verifier) reads() {
	type stream struct {
		reader    int
		partition int32
	}
	started := map[place]bool{}
	for _, s := range v.h.Starts {
		started[place{s.Partition, s.Offset}] = true
	}
	last := map[stream]int64{}
	for _, r := range v.h.Reads {
		key := stream{r.Reader, r.Partition}
		before, began := last[key]
		next := r.From
		if began {
			next = before + 1
			v.facts["I10"]++
		}
		v.facts["I9"]++
		switch {
		case began && r.Offset <= before:
			v.at("I10", r.Partition, r.Offset, "reader %d got %d after %d", r.Reader, r.Offset, before)
		case r.Offset != next && !started[place{r.Partition, r.Offset}]: // it may go on where a broker said that the log starts
			v.at("I9", r.Partition, r.Offset, "reader %d got %d, and %d is what came next", r.Reader, r.Offset, next)
		}
		last[key] = r.Offset
		v.visible(r.Partition, r.Offset, r.Value)
		value, below, ok := v.inFinal(r.Partition, r.Offset)
		if below {
			v.agree(r.Partition, r.Offset, r.Value)
			continue
		}
		v.facts["I12"]++
		v.facts["I5"]++
		switch {
		case !ok:
			v.at("I12", r.Partition, r.Offset, "%s was read at %d, which is not there any more", r.Value, r.Offset)
		case value != r.Value:
			v.at("I5", r.Partition, r.Offset, "%s was read at %d, where %s is", r.Value, r.Offset, value)
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
	asked := map[int32][]End{}
	for _, e := range v.h.Ends {
		asked[e.Partition] = append(asked[e.Partition], e)
	}
	for p, ends := range asked {
		as := acked[p]
		slices.SortFunc(ends, func(a, b End) int { return cmp.Compare(a.Invoke, b.Invoke) })
		slices.SortFunc(as, func(a, b Append) int { return cmp.Compare(a.Return, b.Return) })
		i, highest := 0, int64(-1)
		for _, e := range ends {
			for ; i < len(as) && as[i].Return < e.Invoke; i++ {
				highest = max(highest, as[i].Offset)
			}
			if highest >= 0 {
				v.facts["I11"]++
			}
			if e.Offset <= highest {
				v.at("I11", p, highest, "the end was said to be %d after %d had been acknowledged", e.Offset, highest)
			}
			if l, ok := v.h.Final[p]; ok && e.Offset > l.HighWatermark {
				v.at("I12", p, e.Offset, "the end was said to be %d, and is %d at rest", e.Offset, l.HighWatermark)
			}
		}
	}
}

// Trimmed counts, among the facts, the partitions of which retention took something: how much it left was compared.
const Trimmed = "I20 trimmed"

// starts checks I20: a log start is a decision of the group and never taken back, and nothing goes that retention must keep.
func (v *verifier) starts() {
	for _, s := range v.h.Starts {
		l, ok := v.h.Final[s.Partition]
		if !ok || s.Offset == 0 { // no log starts below 0
			continue
		}
		v.facts["I20"]++
		if s.Offset > l.Start {
			v.at("I20", s.Partition, s.Offset, "the log start was said to be %d, and is %d at rest", s.Offset, l.Start)
		}
	}
	for p, l := range v.h.Final {
		keep, may := v.h.Keep[p]
		switch {
		case !may && l.HighWatermark > 0:
			v.facts["I20"]++
			if l.Start > 0 {
				v.at("I20", p, 0, "offsets below %d are gone, and retention must keep all", l.Start)
			}
		case may && l.Start > 0 && l.Batches != nil:
			v.facts["I20"]++
			v.facts[Trimmed]++
			if left := l.Bytes + keep.PerBatch*int64(len(l.Batches)); left < keep.Bytes {
				v.at("I20", p, l.Start, "%d bytes are left from offset %d on, and retention must keep %d", left, l.Start, keep.Bytes)
			}
		}
	}
}
