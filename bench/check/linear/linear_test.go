package linear

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/bench/check"
)

// history has n appends of 8 clients to one partition, up to 8 at a time, with an end asked for after each tenth.
func history(n int64) check.History {
	h := check.History{Final: map[int32]check.Log{}}
	var l check.Log
	for i := range n {
		a := check.Append{Client: int(i % 8), Sequence: i / 8, Invoke: time.Duration(10 * i), Return: time.Duration(10*i + 75), Outcome: check.OK, Offset: i}
		if i%50 == 7 {
			a.Outcome, a.Return, a.Offset = check.Info, 0, 0
		}
		l.Values = append(l.Values, a.Value())
		h.Appends = append(h.Appends, a)
		if i%10 == 9 {
			h.Ends = append(h.Ends, check.End{Client: 8, Invoke: time.Duration(10*i + 1), Return: time.Duration(10*i + 80), Offset: i + 1})
		}
	}
	h.Appends = append(h.Appends,
		check.Append{Client: 9, Invoke: 5, Outcome: check.Info},             // never there
		check.Append{Client: 10, Invoke: 5, Return: 6, Outcome: check.Fail}) // nor this
	l.HighWatermark = n
	h.Final[0] = l
	return h
}

func judge(t *testing.T, h check.History) string {
	t.Helper()
	ws := Windows(h, 500)
	if len(ws) < 4 {
		t.Fatalf("%d windows", len(ws))
	}
	text := ""
	for _, w := range ws {
		if err := w.Check(); err != nil {
			text += err.Error() + "\n"
		}
	}
	return text
}

func TestALinearizableHistoryPasses(t *testing.T) {
	if got := judge(t, history(2000)); got != "" {
		t.Fatal(got)
	}
}

func TestWhatIsNotLinearizableIsFound(t *testing.T) {
	for name, spoil := range map[string]func(h *check.History){
		"an append that overtook one that had returned": func(h *check.History) {
			a, b := &h.Appends[1000], &h.Appends[1020]
			a.Offset, b.Offset = b.Offset, a.Offset
		},
		"an end below what was acknowledged before": func(h *check.History) { h.Ends[100].Offset -= 20 },
		"an end above all that was sent":            func(h *check.History) { h.Ends[100].Offset += 20 },
		"two appends at one offset":                 func(h *check.History) { h.Appends[1001].Offset = 1000 },
	} {
		h := history(2000)
		spoil(&h)
		if got := judge(t, h); !strings.Contains(got, "not linearizable") {
			t.Errorf("%s is not found: %q", name, got)
		}
	}
}

func TestAWindowIsDrawn(t *testing.T) {
	h := history(1000)
	h.Ends[50].Offset -= 20
	w, ok := Around(Windows(h, 500), 0, h.Ends[50].Offset)
	if !ok || w.Check() == nil {
		t.Fatalf("the window around the wrong end: %v, its %d operations are linearizable", ok, w.Operations())
	}
	path := filepath.Join(t.TempDir(), "window.html")
	if err := w.Draw(path); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(page), "<html") {
		t.Fatalf("the page: %v, %d bytes", err, len(page))
	}
}
