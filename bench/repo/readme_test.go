package repo

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block gives the README's first block in a language that contains a text.
func block(t *testing.T, readme, lang, with string) string {
	t.Helper()
	for _, m := range regexp.MustCompile("(?s)```"+lang+"\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		if strings.Contains(m[1], with) {
			return m[1]
		}
	}
	t.Fatalf("the README has no %s block with %q", lang, with)
	return ""
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryFigureHasItsCommandAndItsCommit(t *testing.T) {
	_, table, found := strings.Cut(readme(t), "| What | Figure | Command | Commit |\n|---|---|---|---|\n")
	if !found {
		t.Fatal("the README has no table of figures with their commands and commits")
	}
	row := regexp.MustCompile("^\\| [^|]+ \\| [^|]+ \\| `make [^|]+` \\| [0-9a-f]{7,12}(, [0-9a-f]{7,12})* \\|$")
	for line := range strings.Lines(table) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return
		}
		if !row.MatchString(line) {
			t.Errorf("no command or no commit: %s", line)
		}
	}
}

func TestTheReadmesPythonIsTheOneThatIsRun(t *testing.T) {
	file, err := os.ReadFile("testdata/client.py")
	if err != nil {
		t.Fatal(err)
	}
	if block(t, readme(t), "python", "import grpc") != string(file) {
		t.Error("the README's Python differs from bench/repo/testdata/client.py")
	}
	if n := strings.Count(string(file), "\n"); n > 25 {
		t.Errorf("the client has %d lines: it should show how little is needed", n)
	}
}

func TestTheReadmesGoIsTheOneThatCompiles(t *testing.T) {
	example, err := os.ReadFile(filepath.Join(root(t), "rpc", "client", "example_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if !strings.Contains(squeeze(string(example)), squeeze(block(t, readme(t), "go", "client.New"))) {
		t.Error("the README's Go is not part of rpc/client/example_test.go")
	}
}

func TestScriptsAreValidShell(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(root(t), ".ci", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		if strings.Contains(filepath.Base(s), ".") {
			continue
		}
		if out, err := exec.Command("bash", "-n", s).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", s, out)
		}
	}
}
