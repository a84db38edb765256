package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/bench/peers/system"
	"github.com/runnel-io/runnel/cmd/brokerctl/load"
	"github.com/runnel-io/runnel/rpc/client"
)

func rates(values ...float64) []measurement {
	var ms []measurement
	for _, v := range values {
		ms = append(ms, measurement{RecordsPerSecond: v})
	}
	return ms
}

func TestSummariseTakesTheMedianOfGoodRuns(t *testing.T) {
	ms := append(rates(300, 100, 200), measurement{RecordsPerSecond: 900, Failed: "x"}, measurement{Skipped: "y"})
	s, ok := summarise(rate, "a", ms)
	if !ok || s.Mid.RecordsPerSecond != 200 || s.Least.RecordsPerSecond != 100 || s.Most.RecordsPerSecond != 300 || s.Runs != 3 {
		t.Fatalf("got %+v, %v", s, ok)
	}
	if _, ok := summarise(rate, "a", ms[3:]); ok {
		t.Fatal("a summary of no good run")
	}
}

func TestSummariseOfTwoRunsIsKindToTheSystem(t *testing.T) {
	if s, _ := summarise(rate, "a", rates(1, 2)); s.Mid.RecordsPerSecond != 2 {
		t.Errorf("rate: got %v", s.Mid)
	}
	if s, _ := summarise(outage, "a", []measurement{{OutageMS: 1}, {OutageMS: 2}}); s.Mid.OutageMS != 1 {
		t.Errorf("time: got %v", s.Mid)
	}
}

func TestBestSummaryChoosesByTheFigure(t *testing.T) {
	opts := []system.Option{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	if s, ok := bestSummary(rate, cell{"a": rates(1, 2, 3), "b": rates(4, 5, 6), "c": rates(9)}, opts); !ok || s.Option != "b" {
		t.Errorf("rates: got %+v", s)
	}
	slow, quick := []measurement{{P50US: 900}}, []measurement{{P50US: 100}}
	if s, ok := bestSummary(p50, cell{"a": slow, "b": quick}, opts); !ok || s.Option != "b" {
		t.Errorf("latencies: got %+v", s)
	}
	if s, ok := bestSummary(p50, cell{"a": quick, "b": slow}, opts); !ok || s.Option != "a" {
		t.Errorf("latencies: got %+v", s)
	}
}

func TestRatioIsAboveOneWhereRunnelIsBetter(t *testing.T) {
	if x := ratio(rate, measurement{RecordsPerSecond: 300}, measurement{RecordsPerSecond: 100}); x != 3 {
		t.Errorf("rates: %v", x)
	}
	if x := ratio(outage, measurement{OutageMS: 300}, measurement{OutageMS: 6000}); x != 20 {
		t.Errorf("times: %v", x)
	}
	if x := ratio(rate, measurement{RecordsPerSecond: 300}, measurement{}); x != 0 {
		t.Errorf("nothing measured: %v", x)
	}
}

// fakeKind is a column without servers.
type fakeKind struct {
	name   string
	strict bool
}

func (f fakeKind) Name() string                                  { return f.name }
func (f fakeKind) Fetch(context.Context, string) (string, error) { return "1", nil }
func (f fakeKind) Strict() bool                                  { return f.strict }
func (f fakeKind) Settings() map[string]string                   { return map[string]string{"b": "2", "a": "1"} }
func (f fakeKind) Options() []system.Option {
	return []system.Option{{Name: "x", Settings: "way x", Use: system.Many}, {Name: "y", Use: system.Many}, {Name: "z", Use: system.Single}, {Name: "r", Use: system.Read}}
}
func (f fakeKind) Start(context.Context, string) (system.Servers, error) { return nil, io.EOF }

func newColumn(name string, strict bool) *column {
	k := fakeKind{name, strict}
	return &column{kind: k, version: "1", options: k.Options(), probes: map[string]cell{}, cells: map[string]cell{}}
}

func mustPick(t *testing.T, names string) []row {
	t.Helper()
	rows, err := pick(names, false)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestChosenKeepsOptionsNearTheBestProbe(t *testing.T) {
	c, r := newColumn("peer", true), mustPick(t, "200b-1")[0]
	if got := chosen(c, r, 0); len(got) != 2 {
		t.Fatalf("without probes: %v", got)
	}
	c.probes[r.id] = cell{"x": rates(100), "y": rates(95)}
	if got := chosen(c, r, 1); len(got) != 2 {
		t.Fatalf("both near: %v", got)
	}
	c.probes[r.id] = cell{"x": rates(100), "y": rates(50)}
	if got := chosen(c, r, 1); len(got) != 1 || got[0] != "x" {
		t.Fatalf("one near: %v", got)
	}
	c.probes[r.id] = cell{"x": {{Failed: "no"}}, "y": rates(50)}
	if got := chosen(c, r, 2); len(got) != 1 || got[0] != "y" {
		t.Fatalf("one failed: %v", got)
	}
}

func TestChosenOfOtherRows(t *testing.T) {
	c := newColumn("peer", true)
	c.cells["200b-1"] = cell{"x": rates(1, 9), "y": rates(5, 5)}
	for id, want := range map[string]string{"one-at-a-time": "z", "end-to-end": "z", failover: "z", openLoop: "y", "consume-200b": "r"} {
		if got := chosen(c, mustPick(t, id)[0], 0); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %v, want %s", id, got, want)
		}
	}
	if got := chosen(c, mustPick(t, openLoop)[0], 1); got[0] != "x" {
		t.Errorf("open loop in run 1: %v", got)
	}
}

func TestRenderShowsMedianRangeRatioAndReasons(t *testing.T) {
	runnel, peer, lax := newColumn("runnel", true), newColumn("peer-strict", true), newColumn("peer-default", false)
	gone := newColumn("gone", true)
	gone.skipped = "no network"
	runnel.cells["200b-1"] = cell{"x": rates(600_000, 500_000, 700_000)}
	peer.cells["200b-1"] = cell{"x": rates(60_000, 50_000, 70_000), "y": rates(75_000, 74_000, 76_000)}
	peer.probes["200b-1"] = cell{"x": rates(61_000), "y": rates(66_000)}
	peer.cells[openLoop] = cell{"y": {{Skipped: "not reached"}}}
	lax.cells["200b-1"] = cell{"x": {{Failed: "boom"}}}
	picked := mustPick(t, "200b-1,open-loop,failover")
	columns := []*column{runnel, peer, lax, gone}
	out := render(picked, columns)
	for _, want := range []string{"600,000/s", "[500,000/s – 700,000/s]", "75,000/s", "× 8.0 (y)", "not reached", "failed", "skipped", "as the column before", "not measured"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	options := renderOptions(picked, columns)
	for _, want := range []string{"61,000/s", "60,000/s", "66,000/s", "75,000/s"} {
		if !strings.Contains(options, want) {
			t.Errorf("no %q in\n%s", want, options)
		}
	}
	if err := failures(picked, columns); err == nil || !strings.Contains(err.Error(), "peer-default, 200b-1, x, run 1: boom") {
		t.Errorf("failures: %v", err)
	}
	if s := describe(peer); !strings.Contains(s, "a=1, b=2") || !strings.Contains(s, "client option x: way x") {
		t.Errorf("describe: %s", s)
	}
	if s := describe(gone); s != "gone is skipped: no network" {
		t.Errorf("describe: %s", s)
	}
}

func TestSaveAppendsALineThatReadsBack(t *testing.T) {
	runnel, peer := newColumn("runnel", true), newColumn("peer", true)
	runnel.cells["200b-1"], peer.cells["200b-1"] = cell{"x": rates(800)}, cell{"x": rates(100), "y": {{Failed: "f"}}}
	dir := t.TempDir()
	o := options{root: "../..", results: dir, duration: time.Second}
	for range 2 {
		if err := save(t.Context(), o, mustPick(t, "200b-1"), []*column{runnel, peer}, 1); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "peers.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	var rec record
	if err := json.Unmarshal([]byte(lines[1]), &rec); err != nil {
		t.Fatal(err)
	}
	got := rec.Systems[1].Rows[0]
	if got.Ratio == nil || *got.Ratio != 8 || got.Option != "x" || got.Runs["y"][0].Failed != "f" || rec.Duration != "1s" {
		t.Fatalf("got %+v", rec)
	}
}

func TestPick(t *testing.T) {
	if _, err := pick("nonesuch", false); err == nil || !strings.Contains(err.Error(), "64k-4") {
		t.Errorf("an unknown row: %v", err)
	}
	all, quick := mustPick(t, ""), 0
	for _, r := range all {
		if r.quick {
			quick++
		}
	}
	few, err := pick("", true)
	if err != nil || len(few) != quick || quick == 0 || quick == len(all) {
		t.Errorf("%d of %d rows are quick, picked %d: %v", quick, len(all), len(few), err)
	}
}

func TestFillIsBoundedByWhatTheSystemTakes(t *testing.T) {
	for _, c := range []struct {
		most int64
		rate float64
		want int64
	}{{3_000_000, 100_000, 600_000}, {3_000_000, 900_000, 3_000_000}, {3_000_000, 0, 300_000}, {10_000, 0.01, 1}} {
		if got := fill(c.most, c.rate); got != c.want {
			t.Errorf("fill(%d, %v) = %d, want %d", c.most, c.rate, got, c.want)
		}
	}
}

func TestMostLed(t *testing.T) {
	victim, led := mostLed([]string{"a", "b", "b", "a", "b"})
	if victim != "b" || len(led) != 3 || led[0] != 1 || led[2] != 4 {
		t.Fatalf("got %s %v", victim, led)
	}
}

// memory is a cluster in memory that acknowledges at once and loses some records.
type memory struct {
	load.Cluster
	lose    int
	records [][]byte
}

func (m *memory) CreateTopic(context.Context, string, int32, int32, map[string]string) (int32, error) {
	return 3, nil
}
func (m *memory) DeleteTopic(context.Context, string) error            { return nil }
func (m *memory) Replicas(context.Context, string) (int32, error)      { return 3, nil }
func (m *memory) Producer(load.ProducerOptions) (load.Producer, error) { return memoryClient{m}, nil }
func (m *memory) Consumer() (load.Consumer, error)                     { return memoryClient{m}, nil }
func (m *memory) Offsets(context.Context, string) (s, e map[int32]int64, err error) {
	return map[int32]int64{0: 0}, map[int32]int64{0: int64(len(m.records))}, nil
}

type memoryClient struct{ m *memory }

func (c memoryClient) Produce(_ context.Context, r *client.Record, promise func(*client.Record, error)) {
	if c.m.lose > 0 {
		c.m.lose--
	} else {
		c.m.records = append(c.m.records, r.Value)
	}
	promise(r, nil)
}
func (c memoryClient) Flush(context.Context) error { return nil }
func (c memoryClient) Close() error                { return nil }
func (c memoryClient) Ready(context.Context) error { return nil }
func (c memoryClient) NewReader(string, load.ReaderOptions) (load.Reader, error) {
	return c, nil
}
func (c memoryClient) Records(context.Context) iter.Seq2[*client.Record, error] {
	return func(yield func(*client.Record, error) bool) {
		for _, v := range c.m.records {
			if !yield(&client.Record{Value: v}, nil) {
				return
			}
		}
	}
}

func TestAMeasurementThatDoesNotReadBackWhatWasAckedFails(t *testing.T) {
	config := load.Config{Mode: load.Produce, RecordSize: 10, Producers: 1, Consumers: 1, Partitions: 1, Records: 1000}
	m, err := carryOut(t.Context(), &memory{}, config)
	if err != nil || m.Acked != 1000 || m.ReadBack != 1000 {
		t.Fatalf("got %+v, %v", m, err)
	}
	if _, err := carryOut(t.Context(), &memory{lose: 1}, config); err == nil || !strings.Contains(err.Error(), "1000 records were acknowledged, 999") {
		t.Fatalf("a lost record: %v", err)
	}
}

func TestFirstAcksWaitsForRecordsSentAfterwards(t *testing.T) {
	w := &writers{sent: make([]time.Time, 2), at: make([]time.Time, 2), ch: make(chan struct{})}
	kill := time.Now()
	w.acked(0, kill.Add(-time.Second), nil) // sent before: does not count
	got := make(chan error, 1)
	go func() { _, err := w.firstAcks(t.Context(), kill, []int{0}); got <- err }()
	w.acked(1, kill.Add(time.Second), nil) // another partition
	select {
	case err := <-got:
		t.Fatalf("ended early: %v", err)
	default:
	}
	w.acked(0, kill.Add(time.Second), nil)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	w.acked(1, kill, errors.New("boom"))
	if _, err := w.firstAcks(t.Context(), kill, []int{1}); err == nil {
		t.Fatal("a writer's error is lost")
	}
}
