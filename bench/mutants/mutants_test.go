package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// named are the constants of package mutant with their values.
func named(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "partition", "env", "mutant", "doc.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if names[v.Names[0].Name], err = strconv.Unquote(v.Values[0].(*ast.BasicLit).Value); err != nil {
				t.Fatal(err)
			}
		}
		return true
	})
	return names
}

func TestEveryMutantHasItsPlaceAndItsLayer(t *testing.T) {
	places := map[string]int{}
	used := regexp.MustCompile(`mutant\.On\(mutant\.(\w+)\)`)
	for _, dir := range []string{"cmd", "gossip", "partition", "placement", "rpc"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "env/mutant") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range used.FindAllSubmatch(text, -1) {
				places[string(m[1])]++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	listed := map[string]int{}
	layers := map[layer]int{}
	twice := map[string]bool{}
	for _, e := range entries {
		listed[e.name]++
		layers[e.layer]++
		if key := e.name + " " + string(e.layer); twice[key] {
			t.Errorf("%s has two entries", key)
		} else {
			twice[key] = true
		}
	}
	for _, l := range []layer{unit, sim, crash, chaos} {
		if layers[l] < 3 {
			t.Errorf("%s must find %d bugs: a layer that finds no seeded bugs is not known to work", l, layers[l])
		}
	}
	names := named(t)
	if len(names) < 15 {
		t.Errorf("only %d mutants", len(names))
	}
	for name, value := range names {
		if places[name] == 0 {
			t.Errorf("%s is nowhere in the product", name)
		}
		if listed[value] == 0 {
			t.Errorf("%s has no entry", name)
		}
	}
	if len(listed) != len(names) {
		t.Errorf("%d names in the table, %d in package mutant", len(listed), len(names))
	}
}

func TestEntriesNameInvariantsAndTestsThatThereAre(t *testing.T) {
	invariant := regexp.MustCompile(`^(I([1-9]|1\d|2[0-3])|run)$`)
	for _, e := range entries {
		if len(e.sees) == 0 {
			t.Errorf("%s: no invariant", e.name)
		}
		for _, i := range e.sees {
			if !invariant.MatchString(i) {
				t.Errorf("%s: %q is no invariant", e.name, i)
			}
		}
		switch e.layer {
		case unit:
			if e.says == "" {
				t.Errorf("%s: nothing that its test says", e.name)
			}
			files, err := filepath.Glob(filepath.Join(root, e.pkg, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				text += string(b)
			}
			for name := range strings.SplitSeq(e.tests, "|") {
				if !strings.Contains(text, "func "+name+"(") {
					t.Errorf("%s: %s has no test %s", e.name, e.pkg, name)
				}
			}
		case chaos:
			if e.faults == "" {
				t.Errorf("%s: no fault that a run of real brokers needs", e.name)
			}
		case sim, crash:
		default:
			t.Errorf("%s: no layer %q", e.name, e.layer)
		}
	}
}

func TestOnlyANamedViolationCatches(t *testing.T) {
	seeds := &entry{name: "m", layer: sim, sees: []string{"I1", "I5"}}
	one := &entry{name: "m", layer: unit, sees: []string{"I15"}, tests: "TestVotes", says: "lost a vote"}
	for name, c := range map[string]struct {
		e     *entry
		r     result
		by    string
		inWhy string
	}{
		"green":                  {e: seeds, r: result{code: 0}, inWhy: "nothing was found"},
		"a violation":            {e: seeds, r: result{code: 1, output: "    sim_test.go:76: seed 3: I5: partition 0: x is at 1\nFAIL\n"}, by: "I5: partition 0: x is at 1"},
		"a violation of another": {e: seeds, r: result{code: 1, output: "seed 3: I21: slot 0 took no write"}, inWhy: "not by I1, I5: I21: slot 0"},
		"another before it":      {e: seeds, r: result{code: 1, output: "seed 3: I21: slow\nseed 3: I1: lost"}, by: "I1: lost"},
		"a broker that panics":   {e: seeds, r: result{code: 1, output: "seed 3: run: a panic ends the broker"}, inWhy: "run: a panic"},
		"counts of facts":        {e: seeds, r: result{code: 1, output: "I1: 4000 facts\nseed 3: I21: slow"}, inWhy: "I21: slow"},
		"a harness that panics":  {e: seeds, r: result{code: 2, output: "panic: nil\nseed 3: I1: lost"}, inWhy: "crashed (exit 2)"},
		"a harness that is slow": {e: seeds, r: result{code: 1, late: true, output: "seed 3: I1: lost"}, inWhy: "in time"},
		"red without a word":     {e: seeds, r: result{code: 1, output: "FAIL"}, inWhy: "names no violation"},
		"a store that stops":     {e: &entry{layer: crash, sees: []string{"I12", "run"}}, r: result{code: 1, output: "VIOLATION, seed 1: the store failed while it was recorded: x"}, by: "run: the store failed while it was recorded: x"},
		"a power cut":            {e: &entry{layer: crash, sees: []string{"I1"}}, r: result{code: 1, output: "VIOLATION, seed 1: power cut after event 3\n  I19: other broker\n  I1: gone"}, by: "I1: gone"},
		"its test":               {e: one, r: result{code: 1, output: "x_test.go:1: it lost a vote\n--- FAIL: TestVotes (0.1s)\n"}, by: "I15: TestVotes: x_test.go:1: it lost a vote"},
		"its test, otherwise":    {e: one, r: result{code: 1, output: "x_test.go:1: no leader\n--- FAIL: TestVotes (0.1s)\n"}, inWhy: "does not say"},
		"another test":           {e: one, r: result{code: 1, output: "lost a vote\n--- FAIL: TestVotesToo (0.1s)\n"}, inWhy: "not by TestVotes"},
		"a test that panics":     {e: one, r: result{code: 2, output: "lost a vote\n--- FAIL: TestVotes (0.1s)\npanic: nil"}, inWhy: "crashed"},
	} {
		by, why := c.e.caught(c.r)
		if by != c.by || (c.inWhy == "") != (why == "") || !strings.Contains(why, c.inWhy) {
			t.Errorf("%s: by %q, why %q", name, by, why)
		}
	}
}

func TestARunWithoutTheBugMustBeGreen(t *testing.T) {
	seeds := &entry{layer: sim}
	one := &entry{layer: unit, tests: "TestA|TestB"}
	for name, c := range map[string]struct {
		e     *entry
		r     result
		inWhy string
	}{
		"green":         {e: seeds, r: result{}},
		"red":           {e: seeds, r: result{code: 1}, inWhy: "red without the bug"},
		"late":          {e: seeds, r: result{late: true, code: -1}, inWhy: "in time"},
		"both tests":    {e: one, r: result{output: "--- PASS: TestA (0s)\n--- PASS: TestB (0s)\n"}},
		"only one test": {e: one, r: result{output: "--- PASS: TestA (0s)\n--- SKIP: TestB (0s)\n"}, inWhy: "TestB did not run"},
	} {
		if why := c.e.green(c.r); (c.inWhy == "") != (why == "") || !strings.Contains(why, c.inWhy) {
			t.Errorf("%s: %q", name, why)
		}
	}
}

func TestMutantsAreChosenByNameAndLayer(t *testing.T) {
	es, err := chosen("vote-not-persisted,sim")
	if err != nil || len(es) < 3 || es[0].name != "vote-not-persisted" || es[1].layer != sim {
		t.Fatal(es, err)
	}
	if _, err := chosen("no-such-bug"); err == nil {
		t.Fatal("a mutant that is not there was chosen")
	}
}
