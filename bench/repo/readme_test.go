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

// ranBy says what runs each command of the README, so that none goes stale unseen.
var ranBy = map[string]string{
	"make demo":                    ".ci/run",
	"make test":                    ".ci/run",
	"bin/brokerd dev":              ".ci/quickstart",
	"bin/brokerd --insecure":       ".ci/quickstart",
	"bin/brokerctl topic create":   ".ci/quickstart",
	"echo 'customer-7":             ".ci/quickstart",
	"bin/brokerctl consume":        ".ci/quickstart",
	"bin/brokerctl topic describe": ".ci/quickstart",
	"bin/brokerctl cluster status": ".ci/quickstart",
	"bin/brokerctl placement plan": ".ci/quickstart",
	"bin/brokerctl topic alter":    ".ci/quickstart",
	"bin/brokerctl partition":      ".ci/quickstart",
	"bin/brokerctl broker":         ".ci/quickstart",
}

func TestEveryCommandOfTheReadmeIsRun(t *testing.T) {
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readme(t), -1) {
		for line := range strings.Lines(strings.ReplaceAll(m[1], "\\\n", "")) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			known := false
			for prefix := range ranBy {
				known = known || strings.HasPrefix(line, prefix)
			}
			if !known {
				t.Errorf("nothing runs the README's command %q", line)
			}
		}
	}
	ci, err := os.ReadFile(filepath.Join(root(t), ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"make -s test", "make -s demo", ".ci/quickstart"} {
		if !strings.Contains(string(ci), want) {
			t.Errorf(".ci/run does not call %s", want)
		}
	}
}

func TestEveryMakeTargetInTheTextsIsThere(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	contributing, err := os.ReadFile(filepath.Join(root(t), "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`make ([a-z-][a-z -]*)").FindAllStringSubmatch(readme(t)+string(contributing), -1)
	if len(named) == 0 {
		t.Fatal("the texts name no target")
	}
	for _, m := range named {
		for target := range strings.FieldsSeq(m[1]) {
			if !regexp.MustCompile(`(?m)^` + target + `: ##`).Match(makefile) {
				t.Errorf("the Makefile has no target %s", target)
			}
		}
	}
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
