package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/bench/crash/disk"
)

// The test binary is the recorded process, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-life" {
		main()
		return
	}
	code := m.Run()
	if recordedIn != "" {
		_ = os.RemoveAll(recordedIn)
	}
	os.Exit(code)
}

var recordedIn string

var once = sync.OnceValues(func() (*recording, error) {
	base, err := workFolder()
	if err != nil {
		return nil, err
	}
	recordedIn = base
	return recordRun(context.Background(), base, 1, 12)
})

// recorded is one recording for all tests.
func recorded(t *testing.T) *recording {
	t.Helper()
	r, err := once()
	if errors.Is(err, errNoStrace) || errors.Is(err, errNoTrace) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// work is a folder for states.
func work(t *testing.T) string {
	t.Helper()
	dir, err := workFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestNoPowerCutBreaksAPromise(t *testing.T) {
	r := recorded(t)
	want := 1000 // make crash opens twenty times as many
	if testing.Short() {
		want = 300
	}
	res, err := r.states(t.Context(), work(t), 2, want, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range res.broken {
		t.Errorf("state %s: %v", b.at, b.found)
	}
	if res.distinct < want {
		t.Errorf("%d distinct states of %d", res.distinct, want)
	}
	for _, i := range claimed {
		if res.facts[i] == 0 && i != "I5" {
			t.Errorf("nothing was checked for %s", i)
		}
	}
}

func TestEachFlippedBitThatIsReadIsNoticedAndHealed(t *testing.T) {
	r := recorded(t)
	n := 300
	if testing.Short() {
		n = 100
	}
	res, err := r.flips(t.Context(), work(t), 2, n, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range res.broken {
		t.Errorf("state %s, bit %s: %v", b.at, b.flip, b.found)
	}
	if what := res.vacuous(n); what != "" {
		t.Error(what)
	}
}

// without is the recording of a store that leaves out some of its syncs.
func (r *recording) without(sync func(path string) bool) (*recording, int) {
	other := &recording{base: r.base, cluster: r.cluster}
	for i, e := range r.events {
		if e.Kind == disk.Sync && sync(e.Path) {
			if i < r.cluster {
				other.cluster--
			}
			continue
		}
		other.events, other.ledgers = append(other.events, e), append(other.ledgers, r.ledgers[i])
	}
	return other, len(r.events) - len(other.events)
}

// The replay is worth something only if it sees each kind of sync that is missing.
func TestEachMissingSyncIsNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("opens thousands of states")
	}
	r := recorded(t)
	inFolder := func(path string) bool { return filepath.Base(filepath.Dir(path)) == "replicas" }
	for name, left := range map[string]func(path string) bool{
		"of segments":                   func(p string) bool { return strings.HasSuffix(p, ".seg") },
		"of segments before the name":   func(p string) bool { return strings.HasSuffix(p, ".seg.tmp") },
		"of meta.db":                    func(p string) bool { return strings.HasSuffix(p, "meta.db") },
		"of a replica's folder":         inFolder,
		"of the folder of replicas":     func(p string) bool { return p == "data/replicas" },
		"of the data folder":            func(p string) bool { return p == "data" },
		"of the data folder's own name": func(p string) bool { return p == "." },
	} {
		broken, n := r.without(left)
		if n == 0 {
			t.Errorf("no sync %s was recorded", name)
			continue
		}
		res, err := broken.states(t.Context(), work(t), 2, 400, 1)
		if err != nil {
			t.Fatal(err)
		}
		if res.violations == 0 {
			t.Errorf("%d missing syncs %s went unnoticed in %d states", n, name, res.tried)
		}
		t.Logf("without %d syncs %s: %d violations in %d states", n, name, res.violations, res.tried)
	}
}

// Each check sees its own kind of broken promise: here the promises are bent, not the files.
func TestEachBrokenPromiseIsToldByItsName(t *testing.T) {
	r := recorded(t)
	last := r.cluster - 1
	j, err := r.at(place{event: last, mode: disk.All}, 1)
	if err != nil {
		t.Fatal(err)
	}
	// some is a replica that runs.
	some := func(l *ledger) (id replicaID, e *expected) {
		ids := []replicaID{}
		for id, e := range l.replicas {
			if !e.quarantined && len(e.entries) > 3 && id.group != 6 {
				ids = append(ids, id)
			}
		}
		slices.SortFunc(ids, func(a, b replicaID) int { return int(a.group) - int(b.group) })
		id = ids[0]
		e = l.replicas[id].clone()
		e.entries = slices.Clone(e.entries)
		l.replicas[id] = e
		return id, e
	}
	for name, c := range map[string]struct {
		want string
		bend func(l *ledger)
	}{
		"nothing":                        {"", func(*ledger) {}},
		"an entry more":                  {"I1", func(l *ledger) { _, e := some(l); e.entries = append(e.entries, e.entries[0]) }},
		"another entry":                  {"I1", func(l *ledger) { _, e := some(l); e.entries[len(e.entries)-1].Data++ }},
		"an entry less":                  {"I4", func(l *ledger) { _, e := some(l); e.entries = e.entries[:len(e.entries)-1] }},
		"another batch":                  {"I5", func(l *ledger) { _, e := some(l); bendBatches(e) }},
		"a lower commit":                 {"I12", func(l *ledger) { _, e := some(l); e.commit = 0 }},
		"other checkpoints":              {"I14", func(l *ledger) { _, e := some(l); e.points = nil }},
		"a higher term":                  {"I15", func(l *ledger) { _, e := some(l); e.term++ }},
		"another vote":                   {"I15", func(l *ledger) { _, e := some(l); e.vote++ }},
		"a replica more":                 {"I18", func(l *ledger) { _, e := some(l); l.replicas[replicaID{77, 7}] = e }},
		"a replica that was deleted":     {"I18", func(l *ledger) { id, _ := some(l); l.deleted[id] = true }},
		"a replica less":                 {"I19", func(l *ledger) { id, _ := some(l); delete(l.replicas, id) }},
		"a quarantine":                   {"I19", func(l *ledger) { _, e := some(l); e.quarantined = true }},
		"another incarnation":            {"I19", func(l *ledger) { l.incarnation = "other" }},
		"a higher floor":                 {"I19", func(l *ledger) { l.floor++ }},
		"another broker":                 {"I19", func(l *ledger) { l.broker = 2 }},
		"a log that was never trimmed":   {"I20", func(l *ledger) { bendTrims(l) }},
		"an operation that is under way": {"", func(l *ledger) { id, _ := some(l); l.flux[id] = &mark{Op: "trim"} }},
	} {
		l := *j.want
		l.replicas, l.deleted, l.flux = maps.Clone(l.replicas), maps.Clone(l.deleted), maps.Clone(l.flux)
		c.bend(&l)
		v, err := runJob(job{at: j.at, img: j.img, want: &l, deep: true}, &platter{dir: filepath.Join(work(t), "w")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		found := ""
		for _, f := range v.found {
			found += f.Invariant + " "
		}
		if c.want == "" && found != "" || c.want != "" && !strings.Contains(found, c.want+" ") {
			t.Errorf("%s: found %q, want %q: %v", name, found, c.want, v.found)
		}
	}
}

func bendBatches(e *expected) {
	for i := range e.entries {
		if e.entries[i].Payload != 0 {
			e.entries[i].Payload++
		}
	}
}

// bendTrims has no replica have been trimmed.
func bendTrims(l *ledger) {
	for id, e := range l.replicas {
		e = e.clone()
		e.logStart = 0
		l.replicas[id] = e
	}
}

func TestPlacesAndFlipsAreReadBackAsPrinted(t *testing.T) {
	for _, p := range []place{{7, disk.Nothing, 0}, {8, disk.All, 0}, {9, disk.Random, 1<<32 | 5}} {
		if got, err := parsePlace(p.String()); err != nil || got != p {
			t.Errorf("%s became %s: %v", p, got, err)
		}
	}
	f := flip{"data/replicas/1-2/3.seg", 70000, 7}
	if got, err := parseFlip(f.String()); err != nil || got != f {
		t.Errorf("%s became %s: %v", f, got, err)
	}
	for _, s := range []string{"", "7", "7:some", "7:random", "x:all", "7:random:-1"} {
		if p, err := parsePlace(s); err == nil {
			t.Errorf("%q is read as %s", s, p)
		}
	}
}

// A state comes again as it was: the command that a failure prints shows the same files.
func TestAStateComesAgainFromItsPlace(t *testing.T) {
	r := recorded(t)
	p := place{event: len(r.events) / 2, mode: disk.Random, draw: 3}
	a, err := r.at(p, 5)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := r.keep(dir); err != nil {
		t.Fatal(err)
	}
	again, err := reload(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.at(p, 5)
	if err != nil {
		t.Fatal(err)
	}
	if a.img.Hash != b.img.Hash || a.want.marks != b.want.marks {
		t.Error("another state came")
	}
}
