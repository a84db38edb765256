package repo

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// The bugs that are seeded to test the tests are in no program that is built without them: neither their names nor what reads which
// one is chosen.
func TestBrokerdHoldsNoMutant(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root(t), "partition", "env", "mutant", "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^\t[A-Z]\w+ = "([a-z-]+)"$`).FindAllSubmatch(source, -1)
	if len(names) < 15 {
		t.Fatalf("only %d mutants are named", len(names))
	}
	path := filepath.Join(t.TempDir(), "brokerd")
	if out, err := command(root(t), "go", "build", "-o", path, "./cmd/brokerd"); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(program, []byte("replica is quarantined; replace it")) {
		t.Fatal("the product's texts are not found in it: the search shows nothing")
	}
	for _, n := range names {
		if bytes.Contains(program, n[1]) {
			t.Errorf("brokerd holds the mutant %s", n[1])
		}
	}
	for _, s := range []string{"MUTANT", "partition/env/mutant.chosen"} {
		if bytes.Contains(program, []byte(s)) {
			t.Errorf("brokerd holds %q", s)
		}
	}
}
