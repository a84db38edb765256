package load

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Latencies are kept in microseconds up to two minutes with three significant digits.
const (
	slowestUS = 120_000_000
	digits    = 3
)

// window is the measured part of a run and the rule by which a record belongs to it.
type window struct {
	from time.Time
	to   time.Time // zero: until the records are used up
	// bySent counts the records whose (intended) send time lies in the window, however late their ack; otherwise the
	// records whose ack does.
	bySent bool
}

// holds tells whether a record sent and acknowledged at these times is to be counted.
func (w window) holds(sent, acked time.Time) bool {
	t := acked
	if w.bySent {
		t = sent
	}
	return !t.Before(w.from) && (w.to.IsZero() || t.Before(w.to))
}

// meter counts what one client's records do. Many goroutines may use it, but each client has its own, so that the lock
// is seldom contended.
type meter struct {
	win window

	mu       sync.Mutex
	hist     *hdrhistogram.Histogram
	records  int64
	bytes    int64
	errors   int64
	maxUS    int64
	firstErr error
	last     time.Time // newest counted ack
	// all counts inside and outside the window, for the progress line.
	allRecords, allBytes int64
	// refused: a record failed for good and so would every other; the producers stop.
	refused atomic.Bool
}

func newMeter(win window) *meter {
	return &meter{win: win, hist: hdrhistogram.New(1, slowestUS, digits)}
}

// ack counts an acknowledged record: sent at this time (or due then), of this many bytes, acknowledged now.
func (m *meter) ack(sent time.Time, bytes int) {
	now := time.Now()
	m.mu.Lock()
	m.allRecords++
	m.allBytes += int64(bytes)
	if m.win.holds(sent, now) {
		m.countLocked(now.Sub(sent), 1, int64(bytes), now)
	}
	m.mu.Unlock()
}

// read counts records and bytes that a consumer read up to now, without a latency.
func (m *meter) read(records, bytes int64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.allRecords += records
	m.allBytes += bytes
	if !m.win.holds(now, now) {
		return
	}
	m.records += records
	m.bytes += bytes
	m.last = now
}

// seen counts a record that a consumer saw this long after it was due.
func (m *meter) seen(sent time.Time, bytes int) {
	now := time.Now()
	m.mu.Lock()
	m.allRecords++
	m.allBytes += int64(bytes)
	if m.win.holds(sent, now) {
		m.countLocked(now.Sub(sent), 1, int64(bytes), now)
	}
	m.mu.Unlock()
}

func (m *meter) countLocked(latency time.Duration, records, bytes int64, now time.Time) {
	us := max(latency.Microseconds(), 0)
	m.maxUS = max(m.maxUS, us)
	// Cannot fail: the value is clamped into the histogram's range.
	_ = m.hist.RecordValues(min(us, slowestUS), records)
	m.records += records
	m.bytes += bytes
	m.last = now
}

// fail counts n failures, in the window or not: a run with errors is not a good run. The client tries again what can
// succeed later, so a definite error says that the load itself is wrong.
func (m *meter) fail(err error, n int64) {
	if runnelv1.AsError(err).GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE {
		m.refused.Store(true)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errors += n
	if m.firstErr == nil {
		m.firstErr = err
	}
}

// totals is the sum of some meters.
type totals struct {
	hist     *hdrhistogram.Histogram
	records  int64
	bytes    int64
	errors   int64
	maxUS    int64
	firstErr error
	last     time.Time

	allRecords, allBytes int64
}

func sum(meters []*meter) totals {
	t := totals{hist: hdrhistogram.New(1, slowestUS, digits)}
	for _, m := range meters {
		m.mu.Lock()
		t.hist.Merge(m.hist)
		t.records += m.records
		t.bytes += m.bytes
		t.errors += m.errors
		t.allRecords += m.allRecords
		t.allBytes += m.allBytes
		t.maxUS = max(t.maxUS, m.maxUS)
		if t.firstErr == nil {
			t.firstErr = m.firstErr
		}
		if m.last.After(t.last) {
			t.last = m.last
		}
		m.mu.Unlock()
	}
	return t
}

// percentileUS is a percentile in microseconds, never above the exact maximum (a histogram answers the upper edge of a
// bucket).
func (t totals) percentileUS(p float64) int64 {
	return min(t.hist.ValueAtPercentile(p), t.maxUS)
}
