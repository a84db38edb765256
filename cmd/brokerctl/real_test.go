package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerctl/load"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

// TestAgainstARealCluster goes the whole way once, through the SDK, to brokers on loopback.
func TestAgainstARealCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts brokers")
	}
	c := brokertest.Start(t, 1)
	brokers := strings.Join(c.Seeds(), ",")
	ctl := func(stdin io.Reader, args ...string) result {
		t.Helper()
		var out, errOut bytes.Buffer
		a := &app{in: stdin, out: &out, errOut: &errOut, connect: connectSDK, getenv: func(string) string { return brokers }}
		status := execute(t.Context(), a, args)
		if status != 0 {
			t.Fatalf("%v: status %d, %s", args, status, errOut.String())
		}
		return result{out.String(), errOut.String(), status}
	}
	none := strings.NewReader("")
	ctl(none, "topic", "create", "lines", "--partitions", "3")
	var in strings.Builder
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprintf("k%d=v%d", i, i))
		fmt.Fprintf(&in, "k%d\tv%d\n", i, i)
	}
	var sum produceJSON
	if r := ctl(strings.NewReader(in.String()), "produce", "lines", "-K", `\t`, "-z", "lz4", "-o", "json"); json.Unmarshal([]byte(r.out), &sum) != nil || sum.Acked != 1000 {
		t.Errorf("produce: %s", r.out)
	}
	read := func(args ...string) []string {
		t.Helper()
		lines := strings.Fields(ctl(none, append([]string{"consume", "lines", "--exit-at-end", "-f", `%k=%v\n`}, args...)...).out)
		slices.Sort(lines)
		return lines
	}
	slices.Sort(want)
	for _, offset := range []string{"start", "-1000", "0", "@0"} {
		if got := read("--offset", offset); !slices.Equal(got, want) {
			t.Errorf("--offset %s: %d records, want the 1000 written", offset, len(got))
		}
	}
	if got := read("--offset", "-1"); len(got) != 3 {
		t.Errorf("--offset -1: %v, want the last of each partition", got)
	}
	for _, mode := range []string{"produce", "latency", "consume", "e2e"} {
		r := ctl(none, "bench", mode, "--records", "50", "--partitions", "2", "--producers", "2", "-o", "json")
		var res load.Result
		if err := json.Unmarshal([]byte(r.out), &res); err != nil || res.Records != 50 || res.Errors != 0 {
			t.Errorf("bench %s: %v, %s", mode, err, r.out)
		}
	}
	ctl(none, "topic", "alter", "lines", "--config", "segment.ms=3600000")
	if r := ctl(none, "topic", "describe", "lines"); !strings.Contains(r.out, "  segment.ms=3600000\n") {
		t.Errorf("the settings were not altered: %s", r.out)
	}
	if r := ctl(none, "topic", "list", "-o", "json"); !strings.Contains(r.out, `"lines"`) || strings.Contains(r.out, "bench") {
		t.Errorf("topics left: %s", r.out)
	}
}
