package check

import (
	"fmt"
	"slices"
)

// Violation is one broken promise.
type Violation struct {
	Invariant string // I1 ...
	What      string
	// Placed: it is about this partition, at or near this offset.
	Placed    bool
	Partition int32
	Offset    int64
}

func (v Violation) String() string { return v.Invariant + ": " + v.What }

// Facts counts what was compared, by invariant.
type Facts map[string]int

// Missing names those of the invariants for which nothing was compared: they were not checked.
func (f Facts) Missing(invariants ...string) []string {
	return slices.DeleteFunc(slices.Clone(invariants), func(i string) bool { return f[i] > 0 })
}

// most bounds the violations answered of one invariant: the first few tell what is wrong.
const most = 20

// verifier carries one check's tables.
type verifier struct {
	h     History
	sent  map[string]*Append
	found []Violation
	count map[string]int // violations
	facts Facts
	gone  map[place]string // what was acknowledged or read below a log start
}

// place is an offset of a partition.
type place struct {
	partition int32
	offset    int64
}

// Verify answers broken promises, at most some of each.
func Verify(h History) []Violation {
	found, _ := Count(h)
	return found
}

// Count is Verify that also tells how many facts each invariant was held against.
func Count(h History) ([]Violation, Facts) {
	v := &verifier{h: h, sent: make(map[string]*Append, len(h.Appends)), count: map[string]int{}, facts: Facts{}, gone: map[place]string{}}
	for i := range h.Appends {
		a := &h.Appends[i]
		if v.sent[a.Value()] != nil {
			v.add("run", "the value %s was sent twice: the workload is wrong", a.Value())
		}
		v.sent[a.Value()] = a
		if a.Outcome == Fail {
			v.facts["I3"]++
			v.facts["I22"]++
		}
	}
	v.finalLogs()
	v.acks()
	v.order()
	v.reads()
	v.ends()
	v.starts()
	v.batches()
	v.replicas()
	v.leaders()
	v.topics()
	return v.found, v.facts
}

func (v *verifier) add(invariant, format string, args ...any) {
	if v.count[invariant]++; v.count[invariant] <= most {
		v.found = append(v.found, Violation{Invariant: invariant, What: fmt.Sprintf(format, args...)})
	}
}

// at adds a violation at an offset.
func (v *verifier) at(invariant string, p int32, offset int64, format string, args ...any) {
	if v.count[invariant]++; v.count[invariant] <= most {
		what := fmt.Sprintf("partition %d: ", p) + fmt.Sprintf(format, args...)
		v.found = append(v.found, Violation{Invariant: invariant, What: what, Placed: true, Partition: p, Offset: offset})
	}
}

// finalLogs checks I2, I3, I4 and I6 of what is visible at rest.
func (v *verifier) finalLogs() {
	at := map[string]int64{}
	for p, l := range v.h.Final {
		v.facts["I2"] += len(l.Values)
		if got := l.Start + int64(len(l.Values)); got != l.HighWatermark {
			v.at("I2", p, got, "read up to %d, the high watermark is %d", got, l.HighWatermark)
		}
		for i, value := range l.Values {
			offset := l.Start + int64(i)
			v.visible(p, offset, value)
			v.facts["I6"]++
			if before, ok := at[value]; ok {
				v.at("I6", p, offset, "%s is at %d and at %d", value, before, offset)
			}
			at[value] = offset
		}
	}
}

// visible checks that a value may be seen at all.
func (v *verifier) visible(p int32, offset int64, value string) {
	v.facts["I4"]++
	a := v.sent[value]
	switch {
	case a == nil || a.Partition != p:
		v.at("I4", p, offset, "at offset %d is %q, which was never sent there", offset, value)
	case a.Outcome == Fail:
		v.at("I3", p, offset, "at offset %d is %s, which had failed for certain", offset, value)
		v.at("I22", p, offset, "%s had failed for certain and is at offset %d", value, offset)
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
		value, below, ok := v.inFinal(a.Partition, a.Offset)
		if below { // whether it may be gone is I20's
			v.agree(a.Partition, a.Offset, a.Value())
			continue
		}
		v.facts["I1"]++
		v.facts["I5"]++
		switch {
		case !ok:
			v.at("I1", a.Partition, a.Offset, "%s was acknowledged at %d, which is not there", a.Value(), a.Offset)
		case value != a.Value():
			v.at("I5", a.Partition, a.Offset, "%s was acknowledged at %d, where %s is", a.Value(), a.Offset, value)
			v.at("I1", a.Partition, a.Offset, "%s was acknowledged at %d and is not there", a.Value(), a.Offset)
		}
	}
}

// agree checks I5 below a log start, where only what clients saw can be compared.
func (v *verifier) agree(p int32, offset int64, value string) {
	at := place{p, offset}
	before, ok := v.gone[at]
	if !ok {
		v.gone[at] = value
		return
	}
	v.facts["I5"]++
	if before != value {
		v.at("I5", p, offset, "%s and %s were both acknowledged or read at %d, below the log start", before, value, offset)
	}
}

// replicas checks I14.
func (v *verifier) replicas() {
	for p, hashes := range v.h.Replicas {
		want, from, first := "", int32(0), true
		for broker, hash := range hashes {
			if first {
				want, from, first = hash, broker, false
				continue
			}
			v.facts["I14"]++
			if hash != want {
				v.add("I14", "partition %d: brokers %d and %d hold different logs", p, from, broker)
			}
		}
	}
}

// leaders checks I15, as far as it can be seen from outside.
func (v *verifier) leaders() {
	type term struct {
		partition int32
		term      int64
	}
	led := map[term]int32{}
	for _, l := range v.h.Leaders {
		t := term{l.Partition, l.Term}
		before, ok := led[t]
		if !ok {
			led[t] = l.Broker
			continue
		}
		v.facts["I15"]++
		if before != l.Broker {
			v.add("I15", "partition %d: brokers %d and %d are both said to lead in term %d", l.Partition, before, l.Broker, l.Term)
		}
	}
}

// topics checks I18, and I22 of topics.
func (v *verifier) topics() {
	if v.h.FinalTopics == nil {
		return
	}
	type fate struct {
		made, gone Outcome // Fail also: never asked for
		refusal    string
	}
	fates := map[string]*fate{}
	for _, o := range v.h.Topics {
		if fates[o.Name] == nil {
			fates[o.Name] = &fate{made: Fail, gone: Fail}
		}
		if o.Outcome == Fail {
			v.facts["I22"]++
			if !o.Delete {
				fates[o.Name].refusal = o.Error
			}
			continue
		}
		f := fates[o.Name]
		if o.Delete && f.gone != OK {
			f.gone = o.Outcome
		} else if !o.Delete && f.made != OK {
			f.made = o.Outcome
		}
	}
	for name, f := range fates {
		v.facts["I18"]++
		there := v.h.FinalTopics[name]
		switch {
		case f.gone == OK && there:
			v.add("I18", "topic %s is there, and its deletion was acknowledged", name)
		case f.gone == Fail && f.made == OK && !there:
			v.add("I18", "topic %s is not there, its creation was acknowledged, and nobody deleted it", name)
		case f.made == Fail && there:
			v.add("I22", "topic %s is there, and its creation was refused for certain: %s", name, f.refusal)
		}
	}
}
