package repo

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/runnel-io/runnel"

// root is the repository's top folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("%s is not the repository: %v", dir, err)
	}
	return dir
}

// goFiles gives every hand-written Go file with its path from the root.
func goFiles(t *testing.T, f func(path string, text []byte)) {
	t.Helper()
	top := root(t)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		f(filepath.ToSlash(rel), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTopLevelFoldersAreTheAgreedOnes(t *testing.T) {
	allowed := []string{"cmd", "partition", "placement", "gossip", "rpc", "proto", "deploy", "bench"}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" && e.Name() != "dist" && !strings.HasPrefix(e.Name(), "runnel-") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("the top-level folder %s is not in the layout", e.Name())
		}
	}
}

func TestFilesStaySmall(t *testing.T) {
	const most = 450 // aim at 100 to 400
	goFiles(t, func(path string, text []byte) {
		if n := bytes.Count(text, []byte("\n")); n > most {
			t.Errorf("%s has %d lines, more than %d: one concept a file", path, n, most)
		}
	})
}

func TestNobodySleeps(t *testing.T) {
	goFiles(t, func(path string, text []byte) {
		if bytes.Contains(text, []byte("time."+"Sleep(")) {
			t.Errorf("%s sleeps: wait for the event itself", path)
		}
	})
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	top := root(t)
	out, err := command(top, "go", "list", "-f", "{{.Dir}}\t{{.Doc}}", "./...")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		dir, doc, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if doc == "" {
			t.Errorf("%s has no package comment", strings.TrimPrefix(dir, top))
		}
	}
}

// rulesInScope must each have a test named after it: TestRule07...
func TestEveryRuleHasATest(t *testing.T) {
	found := map[string]bool{}
	re := regexp.MustCompile(`func TestRule(\d\d)`)
	goFiles(t, func(path string, text []byte) {
		if strings.HasSuffix(path, "_test.go") {
			for _, m := range re.FindAllSubmatch(text, -1) {
				found[string(m[1])] = true
			}
		}
	})
	for rule, why := range rules {
		switch {
		case why == "" && !found[rule]:
			t.Errorf("rule %s has no test named TestRule%s...", rule, rule)
		case why != "" && found[rule]:
			t.Errorf("rule %s has a test: it is in scope, delete the reason %q", rule, why)
		}
	}
}

func command(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = &os.PathError{Op: name, Path: strings.Join(args, " ") + ": " + stderr.String(), Err: err}
	}
	return string(out), err
}
