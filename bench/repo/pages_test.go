package repo

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ranBy says what runs the sh blocks of a page, so that none goes stale unseen. A page whose blocks nothing runs as they stand has a
// table of its own below.
var ranBy = map[string]string{
	"deploy/README.md":            "bench/docs/main.go",
	"deploy/systemd/README.md":    "deploy/check/steps_test.go",
	"deploy/compose/README.md":    "deploy/check/steps_test.go",
	"deploy/kubernetes/README.md": "deploy/check/steps_test.go",
}

// lineRanBy says the same of single lines, by their beginning.
var lineRanBy = map[string]map[string]string{
	"README.md": {
		"make demo":                    ".ci/run",
		"make test":                    ".ci/run",
		"bin/brokerd dev":              ".ci/quickstart",
		"bin/brokerd --insecure":       ".ci/quickstart",
		"bin/brokerd --tls-client":     ".ci/quickstart",
		"bin/brokerctl topic create":   ".ci/quickstart",
		"echo 'customer-7":             ".ci/quickstart",
		"bin/brokerctl consume":        ".ci/quickstart",
		"bin/brokerctl topic describe": ".ci/quickstart",
		"bin/brokerctl cluster status": ".ci/quickstart",
		"bin/brokerctl doctor":         ".ci/quickstart",
		"bin/brokerctl certs dev":      ".ci/quickstart",
		"bin/brokerctl placement plan": ".ci/quickstart",
		"bin/brokerctl topic alter":    ".ci/quickstart",
		"bin/brokerctl partition":      ".ci/quickstart",
		"bin/brokerctl broker":         ".ci/quickstart",
		"export RUNNEL_TLS_CA":         ".ci/quickstart",
	},
	"bench/chaos/README.md": {"make chaos": ".ci/chaos", "make soak": "Makefile"},
}

// pages gives every page of the repository with its path from the root.
func pages(t *testing.T, f func(path, text string)) {
	t.Helper()
	top, n := root(t), 0
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != top && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".md") {
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
		n++
		f(filepath.ToSlash(rel), string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 5 {
		t.Fatalf("there are %d pages only", n)
	}
}

// commandsOf gives the commands of a page's blocks, a line each, without comments. A block that says why it is not run has none.
func commandsOf(text string) (lines []string) {
	for _, m := range regexp.MustCompile("(?ms)^(<!-- not run: [^\n]+ -->\n)?```(?:sh|bash|shell|console)\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		if m[1] != "" {
			continue
		}
		for line := range strings.Lines(strings.ReplaceAll(m[2], "\\\n", "")) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

func TestEveryCommandOfEveryPageIsRun(t *testing.T) {
	pages(t, func(path, text string) {
		commands := commandsOf(text)
		if len(commands) == 0 {
			return
		}
		if by, ok := ranBy[path]; ok {
			if _, err := os.Stat(filepath.Join(root(t), by)); err != nil {
				t.Errorf("%s is said to be run by %s: %v", path, by, err)
			}
			return
		}
		for _, line := range commands {
			if lineRanIn(path, line) == "" {
				t.Errorf("nothing runs the command %q of %s: say what does in ranBy, or above it why nothing can: <!-- not run: WHY -->", line, path)
			}
		}
	})
}

func lineRanIn(path, line string) string {
	for prefix, by := range lineRanBy[path] {
		if strings.HasPrefix(line, prefix) {
			return by
		}
	}
	return ""
}

func TestWhatRunsThePagesIsCalled(t *testing.T) {
	called := map[string][]string{".ci/run": {"make -s test", "make -s demo", ".ci/quickstart"}, "Makefile": {"go run ./bench/docs"}}
	for file, wants := range called {
		text, err := os.ReadFile(filepath.Join(root(t), file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not call %s", file, want)
			}
		}
	}
}

func TestABlockThatIsNotRunSaysWhy(t *testing.T) {
	const text = "```sh\na\n# no\nb \\\n  c\n```\n\n<!-- not run: it needs root -->\n```sh\nd\n```\n\n<!-- not run: -->\n```sh\ne\n```\n\n```text\nf\n```\n"
	if got := fmt.Sprintf("%q", commandsOf(text)); got != `["a" "b   c" "e"]` {
		t.Errorf("%s", got)
	}
}

func TestEveryMakeTargetInThePagesIsThere(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	check := func(path, targets string) {
		for target := range strings.FieldsSeq(targets) {
			if strings.ContainsAny(target, "=") || !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(target) {
				continue
			}
			named++
			if !regexp.MustCompile(`(?m)^` + target + `:.* ##`).Match(makefile) {
				t.Errorf("%s names make %s, which the Makefile does not have", path, target)
			}
		}
	}
	pages(t, func(path, text string) {
		for _, m := range regexp.MustCompile("`make ([a-z-][^`\n]*)`").FindAllStringSubmatch(text, -1) {
			check(path, m[1])
		}
		for _, line := range commandsOf(text) {
			if targets, ok := strings.CutPrefix(line, "make "); ok {
				targets, _, _ = strings.Cut(targets, "#")
				check(path, targets)
			}
		}
	})
	if named == 0 {
		t.Fatal("the pages name no target")
	}
}

// TestEveryLinkLeadsSomewhere follows the links within the repository, to headings as well.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	headings := map[string]map[string]bool{}
	pages(t, func(path, text string) { headings[path] = anchors(text) })
	links := 0
	pages(t, func(path, text string) {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			links++
			at := path
			if to != "" {
				at = filepath.ToSlash(filepath.Join(filepath.Dir(path), to))
			}
			if _, err := os.Stat(filepath.Join(root(t), at)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
				continue
			}
			if anchor != "" && strings.HasSuffix(at, ".md") && !headings[at][anchor] {
				t.Errorf("%s links to %s, and %s has no such heading", path, m[1], at)
			}
		}
	})
	if links < 20 {
		t.Fatalf("%d links only", links)
	}
}

// anchors are the names of a page's headings, as GitHub makes them.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	text = regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(text, "")
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(text, -1) {
		name := strings.ToLower(strings.TrimSpace(m[1]))
		name = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(name, "")
		out[strings.ReplaceAll(name, " ", "-")] = true
	}
	return out
}
