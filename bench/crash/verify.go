package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// verifier opens one state and compares what is found with a ledger.
type verifier struct {
	want  *ledger
	dir   string // the data folder
	facts facts
	found []check.Violation
	// refused are replicas that say themselves that they are damaged. After a power cut that is a violation, after a flipped
	// bit it is what must happen.
	refused map[replicaID]error
	// wiped: meta.db counts as lost, and the broker as a new one.
	wiped bool
	// peer has the same files undamaged: a bit was flipped, so that refusals are not violations, and what is refused is healed from there.
	// Nil = none was flipped.
	peer   *verifier
	healed map[replicaID]bool // replicas that were given up and replaced
	deep   bool               // read what consumers are served, too
	// skip tells that a log need not be opened: it was checked as it is. Nil = none.
	skip func(id replicaID) bool

	store     *raftlog.Store
	logs      map[replicaID]*raftlog.Log
	entriesOf map[replicaID]*expected // what was found of each log that could be read
}

func (v *verifier) bad(invariant, format string, args ...any) {
	if len(v.found) < mostViolations {
		v.found = append(v.found, violation(invariant, format, args...))
	}
}

// open opens the store and all of its logs and checks them. close must be called whatever it found.
func (v *verifier) open() {
	v.logs, v.refused, v.entriesOf = map[replicaID]*raftlog.Log{}, map[replicaID]error{}, map[replicaID]*expected{}
	v.healed = map[replicaID]bool{}
	s, err := raftlog.Open(options(v.dir))
	if err != nil {
		if v.peer != nil && strings.Contains(err.Error(), "run the version that wrote it") { // it stays as it is
			v.refused[replicaID{}] = err
			return
		}
		v.bad("I1", "the folder cannot be opened: %v", err)
		return
	}
	v.store = s
	v.facts["opened"]++
	if !v.identity() {
		return
	}
	there := map[replicaID]string{}
	for _, r := range s.Replicas() {
		there[replicaID{r.Group, r.Replica}] = r.Quarantine
	}
	for id, reason := range there {
		v.known(id, reason)
	}
	for id, r := range v.want.replicas {
		if _, ok := there[id]; !ok {
			v.missing(id, r)
		}
	}
	for id := range v.want.deleted {
		v.facts["I18"]++
		if _, err := os.Stat(v.folder(id)); !errors.Is(err, os.ErrNotExist) {
			v.bad("I18", "the folder of %s is there although its deletion was done", id)
		}
	}
}

func (v *verifier) folder(id replicaID) string {
	return filepath.Join(v.dir, "replicas", id.folder())
}

// identity checks whose folder it is. It answers false when nothing else can be compared.
func (v *verifier) identity() bool {
	id, w := v.store.Identity(), v.want
	storeFlux := w.flux[replicaID{}]
	if w.incarnation != "" {
		v.facts["I19"]++
		if id.Incarnation != w.incarnation {
			if v.peer != nil && len(v.store.Replicas()) == 0 {
				v.wiped = true
				return false
			}
			v.bad("I19", "incarnation %s became %s", w.incarnation, id.Incarnation)
			return false
		}
	}
	mayBe := storeFlux != nil && storeFlux.Op == "identity"
	if id.BrokerID != w.broker && !(mayBe && id.BrokerID == 1) || (id.ClusterID == "crash") != (id.BrokerID == 1) {
		v.bad("I19", "the folder is of broker %d of cluster %q, it was told %d", id.BrokerID, id.ClusterID, w.broker)
	}
	v.facts["I19"]++
	floor := v.store.Floor()
	if floor != w.floor && !(storeFlux != nil && storeFlux.Op == "floor" && floor == storeFlux.Floor) {
		v.bad("I19", "the floor is %d, it was raised to %d: a deleted replica could be made again", floor, w.floor)
	}
	return true
}

// missing judges a replica that is not there.
func (v *verifier) missing(id replicaID, r *expected) {
	v.facts["I18"]++
	if m := v.want.flux[id]; m != nil && m.Op == "delete" {
		if _, err := os.Stat(v.folder(id)); !errors.Is(err, os.ErrNotExist) {
			v.bad("I18", "%s is unknown, its deletion was under way, and its folder is there", id)
		}
		return
	}
	v.bad("I18", "%s is gone, with entries up to %d, and nobody deleted it", id, r.last())
}

// known judges a replica that is there.
func (v *verifier) known(id replicaID, reason string) {
	r, flux := v.want.replicas[id], v.want.flux[id]
	if r == nil && flux != nil {
		switch flux.Op {
		case "create":
			r = &expected{term: 1, commit: 1, base: 2, points: map[uint64]point{1: *flux.Checkpoint}}
		case "install":
			r = installed(v.want.replicas[replicaID{id.group, flux.Source}], flux)
		}
	}
	v.facts["I19"]++
	if r == nil {
		v.bad("I19", "%s is known and never was made, or was deleted", id)
		return
	}
	mayBeQuarantined := r.quarantined || flux != nil && flux.Op == "quarantine"
	switch {
	case reason != "" && mayBeQuarantined:
		v.facts["I19"]++
		var q *raftlog.QuarantinedError
		if _, err := v.store.OpenLog(id.group, id.replica, raftlog.LogOptions{}); !errors.As(err, &q) {
			v.bad("I19", "%s is quarantined and yet its log can be opened: %v", id, err)
		}
		return
	case reason != "":
		if v.peer != nil {
			v.refused[id] = errors.New(reason)
			return
		}
		v.bad("I1", "%s is quarantined: %s", id, reason)
		return
	case r.quarantined:
		v.bad("I19", "the quarantine of %s is forgotten", id)
	}
	if v.skip == nil || !v.skip(id) {
		v.openLog(id, r, flux)
	}
}

func (v *verifier) openLog(id replicaID, r *expected, flux *mark) {
	var poisoned error
	l, err := v.store.OpenLog(id.group, id.replica, raftlog.LogOptions{Poisoned: func(err error) { poisoned = err }})
	if err != nil {
		v.refuse(id, err)
		return
	}
	v.logs[id] = l
	lv := &logVerifier{verifier: v, id: id, l: l, want: r, flux: flux}
	if err := lv.run(); err != nil {
		if poisoned != nil {
			err = poisoned
		}
		v.refuse(id, err)
	}
}

// refuse takes an error of a log.
func (v *verifier) refuse(id replicaID, err error) {
	if v.peer != nil {
		v.refused[id] = err
		return
	}
	v.bad("I1", "%s cannot be read: %v", id, err)
}

func (v *verifier) close() {
	if v.store == nil {
		return
	}
	if err := v.store.Close(); err != nil && v.peer == nil {
		v.bad("I1", "the store does not close: %v", err)
	}
	v.store = nil
}

// noticed tells whether a flip was: a replica says that it is damaged, or the broker counts as new, or does not start.
func (v *verifier) noticed() bool { return len(v.refused) > 0 || v.wiped }
