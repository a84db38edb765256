package repo

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// The page that operators read before an upgrade has the numbers that the code has, and all of them.
func TestTheVersionsPageTellsTheTruth(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root(t), "deploy", "VERSIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| [^|]+ \\| `([^`]+)` `([^`]+)` \\| ([0-9]+) \\|").FindAllSubmatch(page, -1) {
		file, name, number := string(row[1]), string(row[2]), string(row[3])
		told[file+" "+name] = true
		source, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(file)))
		if err != nil {
			t.Error(err)
			continue
		}
		if !regexp.MustCompile(`(?m)^(const |\t)` + name + `\s+= ` + number + `$`).Match(source) {
			t.Errorf("%s does not say %s = %s", file, name, number)
		}
	}
	number := regexp.MustCompile(`(?m)^(?:const |\t)(\w*(?:[vV]ersion|[fF]ormat)|Level)\s+= [0-9]+$`)
	goFiles(t, func(path string, text []byte) {
		if regexp.MustCompile(`_test\.go$|^bench/`).MatchString(path) {
			return
		}
		for _, m := range number.FindAllSubmatch(text, -1) {
			if what := path + " " + string(m[1]); !told[what] && !others[what] {
				t.Errorf("deploy/VERSIONS.md does not tell of %s", what)
			}
		}
	})
}

// others are numbers that are not ours to raise.
var others = map[string]bool{"partition/raftlog/metapages.go metaVersion": true} // bbolt's
