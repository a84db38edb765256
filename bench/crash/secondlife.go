package main

import (
	"maps"
	"math/rand/v2"
)

// settled is the ledger of what was really found: nothing is under way any more.
func (v *verifier) settled() *ledger {
	l := newLedger()
	l.incarnation, l.deleted = v.store.Identity().Incarnation, maps.Clone(v.want.deleted)
	l.broker, l.floor = v.store.Identity().BrokerID, v.store.Floor()
	if !v.wiped { // who knows of no replica cannot delete it; its folder stays
		maps.Copy(l.deleted, v.healed)
	}
	for _, r := range v.store.Replicas() {
		id := replicaID{r.Group, r.Replica}
		if r.Quarantine != "" || v.refused[id] != nil {
			l.replicas[id] = &expected{quarantined: true}
			continue
		}
		if found := v.entriesOf[id]; found != nil {
			l.replicas[id] = found
		}
	}
	return l
}

// foundOf is what a log was found to be, for the life after this one.
func (v *logVerifier) foundOf(term, vote, commit uint64) *expected {
	e := v.want.clone()
	e.term, e.vote, e.commit, e.base, e.entries = term, vote, commit, v.first, v.read
	e.origin = v.l.LastNext()
	if len(v.read) > 0 {
		e.origin = v.read[0].Base
	}
	return e
}

// goOn has the store that was found do more work, close, and open again. What it does then must hold like everything before. Of a damaged
// one, what gave itself up is healed first, and does more work, too.
func (v *verifier) goOn(seed uint64) {
	if v.store == nil || len(v.found) > 0 {
		return
	}
	// Damage of meta.db may show only when it is written. Then nothing is acknowledged any more, and the next start finds it.
	var early error
	if v.peer != nil {
		early = v.heal()
	}
	b := &book{l: v.settled()}
	for id, l := range v.logs {
		if v.refused[id] != nil || b.replica(id) == nil {
			continue
		}
		d := &driver{rnd: rand.New(rand.NewPCG(seed, id.group<<32|id.replica)), book: b, store: v.store, id: id, log: l}
		if err := d.again(); err != nil {
			v.refuse(id, err)
		}
	}
	v.close()
	again := &verifier{want: b.now(), dir: v.dir, facts: v.facts, peer: v.peer, deep: true}
	again.open()
	if again.peer != nil && again.store != nil && len(again.found) == 0 {
		if err := again.heal(); err != nil {
			again.bad("I1", "it is not healed: %v", err)
		} else if early != nil && !again.wiped {
			again.bad("I1", "it is healed only after another start: %v", early)
		}
	}
	again.close()
	for _, f := range again.found {
		v.bad(f.Invariant, "after going on: %s", f.What)
	}
	maps.Copy(v.refused, again.refused)
	maps.Copy(v.healed, again.healed)
	for id := range v.refused {
		if id != (replicaID{}) && !v.healed[id] && !again.wiped && len(v.found) == 0 {
			v.bad("I19", "%s gave itself up, and after a start it has forgotten that: %v", id, v.refused[id])
		}
	}
	v.wiped = v.wiped || again.wiped
	v.facts["second lives"]++
}

// again is what a replica does after a start: a leader of a new term overwrites what is not committed, and there is a roll or a checkpoint.
func (d *driver) again() error {
	r := d.now()
	last, committed := r.last(), min(r.commit, r.last())
	first := last + 1
	if last > committed && last >= r.base {
		first = max(committed+1, r.base)
	}
	steps := []func() error{
		func() error { return d.write(first, 4, r.term+1, 1, 0) },
		func() error { return d.write(d.now().last()+1, 3, 0, 0, d.now().last()+2) },
		d.checkpoint,
		d.trim,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
