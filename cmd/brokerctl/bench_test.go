package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerctl/load"
)

func testResult() load.Result {
	at := func(us int64) *int64 { return &us }
	return load.Result{
		RecordsPerSecond: 612345.6, MBPerSecond: 122.469, P50US: at(1234), P90US: at(2000), P99US: at(15000), P999US: at(16000), MaxUS: at(1234567),
		Records: 3061728, Seconds: 5, Mode: load.Produce, Topic: "bench-produce-1", RecordSize: 200, Producers: 1, Consumers: 1, Clients: 1,
		Partitions: 12, ReplicationFactor: 3, DurationSeconds: 5, LingerUS: 2000, Compression: "none", Config: map[string]string{},
	}
}

func TestBenchTable(t *testing.T) {
	var b bytes.Buffer
	if err := benchTable(&b, testResult()); err != nil {
		t.Fatal(err)
	}
	want := `produce: 200 bytes, 1 producer, 1 consumer, 12 partitions, replication factor 3, as fast as acks allow
RECORDS/S   MB/S      P50      P90       P99     P99.9         MAX  ERRORS    RECORDS  SECONDS
  612,345  122.5  1.23 ms  2.00 ms  15.00 ms  16.00 ms  1234.57 ms       0  3,061,728     5.00
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// The keys are what scripts live on.
func TestBenchJSONKeys(t *testing.T) {
	var b bytes.Buffer
	if err := printJSON(&b, testResult()); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields(`records_per_second mb_per_second p50_us p90_us p99_us p999_us max_us errors records seconds mode topic
		record_size producers consumers clients partitions replication_factor duration_seconds warm_up_seconds rate batch_bytes buffer_bytes
		linger_us compression config`) {
		if _, ok := got[key]; !ok {
			t.Errorf("no key %s", key)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("keys that are not promised: %v", got)
	}
}

func TestProgressIsALineASecondWhereThereIsNoTerminal(t *testing.T) {
	var b bytes.Buffer
	p := progress{w: &b}
	p.line(load.Snapshot{Phase: "creating topic", Elapsed: time.Second})
	p.line(load.Snapshot{Phase: "measuring", Elapsed: 2 * time.Second, RecordsPerSecond: 1234.5, MBPerSecond: 0.25, P99: 1500 * time.Microsecond, Errors: 1})
	p.end()
	want := "   1s creating topic\n   2s measuring  1,234 records/s  0.2 MB/s  p99 1.50 ms  1 error\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestBenchRefusesBadFlags(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"bench", "bench needs a command: consume, e2e, latency, produce"},
		{"bench producee", `unknown command "producee"`},
		{"bench produce extra", "takes no argument"},
		{"bench produce -z brotli", "unknown compression"},
		{"bench produce --linger -1s", "--linger"},
		{"bench produce --config x", "--config"},
		{"bench produce --record-size 0 --producers 0", "--record-size is 0: use 1 to 67108864; --producers is 0"},
		{"bench e2e --rate 0", "e2e needs a --rate"},
		{"bench e2e --record-size 8", "--record-size is 8: use 16"},
		{"bench consume --rate 5", "no meaning in consume mode"},
	} {
		r := try(t.Context(), newFakeCluster(), "", strings.Fields(c.args)...)
		if r.status != 1 || !strings.Contains(r.err, c.want) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%s: status %d, %q; want one line with %q", c.args, r.status, r.err, c.want)
		}
	}
}
