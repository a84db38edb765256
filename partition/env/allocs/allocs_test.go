package allocs

import "testing"

// heard is a test that hears of its failure and goes on.
type heard struct {
	testing.TB
	failed bool
}

func (h *heard) Helper()               {}
func (h *heard) Fatalf(string, ...any) { h.failed = true }

var sink []byte

func TestOnlyWhatIsAboveTheBoundFails(t *testing.T) {
	for _, c := range []struct {
		bytes  int
		failed bool
	}{{1 << 10, false}, {64 << 20, true}} {
		h := &heard{TB: t}
		Most(h, 16<<20, func() { sink = make([]byte, c.bytes) })
		if h.failed != c.failed {
			t.Errorf("%d bytes: failed %v", c.bytes, h.failed)
		}
	}
	sink = nil
}
