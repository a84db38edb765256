package dashboards

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const committed = "../../../deploy/grafana/dashboards"

func TestTheCommittedJSONIsWhatIsWrittenHere(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(committed, "*.json"))
	if err != nil || len(files) != len(All()) {
		t.Errorf("%d files of %d dashboards (%v)", len(files), len(All()), err)
	}
	for _, d := range All() {
		want, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(filepath.Join(committed, d.File()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is stale: make dashboards", d.File())
		}
	}
}

func TestEachPanelSaysWhatItShows(t *testing.T) {
	units := map[Unit]bool{Count: true, Bytes: true, BytesPerSecond: true, Seconds: true, RequestsPerS: true, RecordsPerSecond: true, EventsPerSecond: true, Share: true, Time: true, YesNo: true}
	for _, d := range All() {
		seen := map[string]bool{}
		for _, r := range d.Rows {
			for _, p := range r.Panels {
				at := d.Title + " / " + r.Title + " / " + p.Title
				switch {
				case p.Title == "" || seen[r.Title+p.Title]:
					t.Errorf("%s: a title of its own is missing", at)
				case len(p.Description) < 15 || !strings.HasSuffix(p.Description, "."):
					t.Errorf("%s: the description is no sentence: %q", at, p.Description)
				case !units[p.Unit]:
					t.Errorf("%s: the unit %q is unknown", at, p.Unit)
				case len(p.Queries) == 0:
					t.Errorf("%s asks nothing", at)
				}
				seen[r.Title+p.Title] = true
				for _, q := range p.Queries {
					if q.Expr == "" || q.Legend == "" {
						t.Errorf("%s: a query or its legend is empty", at)
					}
					if strings.ContainsAny(q.Expr, "<>") && regexp.MustCompile("<[BTR]>").MatchString(q.Expr) {
						t.Errorf("%s: %s was not filled in", at, q.Expr)
					}
				}
			}
		}
	}
}

// The layout is Grafana's: 24 columns, nothing on top of anything.
func TestPanelsDoNotOverlap(t *testing.T) {
	type place struct{ X, Y, W, H int }
	for _, d := range All() {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Panels []struct {
				ID      int
				Title   string
				GridPos place
			}
		}
		if err := json.Unmarshal(text, &page); err != nil {
			t.Fatal(err)
		}
		ids := map[int]bool{}
		taken := map[[2]int]string{}
		for _, p := range page.Panels {
			if ids[p.ID] || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > screen {
				t.Errorf("%s: panel %d (%s) has no place of its own", d.Title, p.ID, p.Title)
			}
			ids[p.ID] = true
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if taken[at] != "" {
						t.Fatalf("%s: %s lies on %s", d.Title, p.Title, taken[at])
					}
					taken[at] = p.Title
				}
			}
		}
	}
}
