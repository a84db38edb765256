package repo

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// findingFields are what each entry of bench/chaos/FINDINGS.md tells, in this order.
var findingFields = []string{"Seed or command", "Symptom", "Cause", "Fix", "Test"}

var (
	findingField = regexp.MustCompile(`(?m)^- \*\*([^*\n]*)\*\*: *(\S?)`)
	testName     = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)
	testFunc     = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
)

func TestEveryFindingIsWholeAndItsTestsAreThere(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "bench/chaos/FINDINGS.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	goFiles(t, func(path string, text []byte) {
		if strings.HasSuffix(path, "_test.go") {
			for _, m := range testFunc.FindAllSubmatch(text, -1) {
				tests[string(m[1])] = true
			}
		}
	})
	found, faults := findings(string(text), tests)
	for _, f := range faults {
		t.Error(f)
	}
	if found < 20 {
		t.Errorf("FINDINGS.md has %d entries only", found)
	}
}

// findings counts the entries of a page and says what is wrong with them.
func findings(page string, tests map[string]bool) (n int, faults []string) {
	for _, entry := range strings.Split("\n"+page, "\n## ")[1:] {
		n++
		title, body, _ := strings.Cut(entry, "\n")
		var fields []string
		for _, m := range findingField.FindAllStringSubmatch(body, -1) {
			if fields = append(fields, m[1]); m[2] == "" {
				faults = append(faults, fmt.Sprintf("%q says nothing of its %s", title, m[1]))
			}
		}
		if !slices.Equal(fields, findingFields) {
			faults = append(faults, fmt.Sprintf("%q has the fields %q, not %q", title, fields, findingFields))
		}
		for _, name := range testName.FindAllString(entry, -1) {
			if !tests[name] {
				faults = append(faults, fmt.Sprintf("%q names %s, which is no test of the tree", title, name))
			}
		}
		_, keeps, _ := strings.Cut(body, "- **Test**:")
		if !testName.MatchString(keeps) && !strings.Contains(keeps, "`make ") {
			faults = append(faults, fmt.Sprintf("%q names no test that keeps it fixed", title))
		}
	}
	return n, faults
}

func TestAFindingThatIsNotWholeIsNamed(t *testing.T) {
	const whole = "# Findings\n\n## one\n\n- **Seed or command**: `make sim`\n- **Symptom**: a\n  b\n- **Cause**: c\n- **Fix**: d\n- **Test**: `TestA`, `FuzzB`.\n"
	tests := map[string]bool{"TestA": true, "FuzzB": true}
	for want, page := range map[string]string{
		"":                            whole,
		"has the fields":              strings.Replace(whole, "- **Cause**: c\n", "", 1),
		`says nothing of its Symptom`: strings.Replace(whole, " a\n  b", "", 1),
		"names TestOld":               strings.Replace(whole, "FuzzB", "TestOld", 1),
		"names no test":               strings.Replace(whole, "`TestA`, `FuzzB`", "those of the settings", 1),
	} {
		n, faults := findings(page, tests)
		if n != 1 || len(faults) > 1 || !strings.Contains(strings.Join(faults, ""), want) || (want == "") != (len(faults) == 0) {
			t.Errorf("%d entries, %q, not %q", n, faults, want)
		}
	}
}
