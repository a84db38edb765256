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
		a := &app{in: stdin, out: &out, errOut: &errOut, connect: connectSDK, getenv: only("RUNNEL_BROKERS", brokers)}
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
	ctl(none, "cluster", "config", "set", "recovery.rate.bytes=3MiB")
	ctl(none, "broker", "config", "set", "1", "log.level=warn")
	words := strings.Join(strings.Fields(ctl(none, "broker", "config", "list", "1").out), " ")
	if !strings.Contains(words, "recovery.rate.bytes 3MiB cluster runtime") || !strings.Contains(words, "log.level warn broker runtime") {
		t.Errorf("the settings were not altered: %s", words)
	}
	ctl(none, "topic", "alter", "lines", "--config", "segment.ms=3600000")
	if r := ctl(none, "topic", "describe", "lines"); !strings.Contains(r.out, "  segment.ms=3600000\n") {
		t.Errorf("the settings were not altered: %s", r.out)
	}
	if r := ctl(none, "topic", "list", "-o", "json"); !strings.Contains(r.out, `"lines"`) || strings.Contains(r.out, "bench") {
		t.Errorf("topics left: %s", r.out)
	}
}

// TestABrokerIsEmptiedAndRemovedInARealCluster drains one of four and removes it, and moves a partition and its leader by hand.
func TestABrokerIsEmptiedAndRemovedInARealCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts brokers")
	}
	c := brokertest.Start(t, 4)
	brokers := strings.Join(c.Seeds(), ",")
	ctl := func(args ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, errOut: &errOut, connect: connectSDK, getenv: only("RUNNEL_BROKERS", brokers)}
		if status := execute(t.Context(), a, args); status != 0 {
			t.Fatalf("%v: status %d, %s", args, status, errOut.String())
		}
		return out.String()
	}
	var listed []brokerJSON
	if err := json.Unmarshal([]byte(ctl("broker", "list", "-o", "json")), &listed); err != nil || len(listed) != 4 {
		t.Fatalf("%v, %v", listed, err)
	}
	last := listed[3].ID
	// The one that goes is not asked: it does not hear of what happens afterwards.
	brokers = strings.Join([]string{listed[0].Address, listed[1].Address, listed[2].Address}, ",")
	ctl("topic", "create", "t", "--partitions", "8", "--replication-factor", "3")
	ctl("broker", "drain", fmt.Sprint(last), "--wait")
	ctl("broker", "remove", fmt.Sprint(last), "--yes")
	// Each answer may come from another broker, which has not heard of the newest changes yet.
	sees := func(what string, holds func(topicDescriptionJSON) bool) topicDescriptionJSON {
		t.Helper()
		var d topicDescriptionJSON
		for range 500 {
			d = topicDescriptionJSON{}
			if err := json.Unmarshal([]byte(ctl("topic", "describe", "t", "-o", "json")), &d); err != nil {
				t.Fatal(err)
			}
			if holds(d) {
				return d
			}
		}
		t.Fatalf("not %s: %+v", what, d)
		return d
	}
	d := sees("on the three others", func(d topicDescriptionJSON) bool {
		return !slices.ContainsFunc(d.Partitions, func(p partitionJSON) bool { return slices.Contains(p.Replicas, last) || len(p.Replicas) != 3 })
	})
	if to := d.Partitions[0].Replicas[2]; ctl("partition", "transfer-leadership", "t", "0", "--to", fmt.Sprint(to)) != fmt.Sprintf("broker %d leads t/0\n", to) {
		t.Errorf("the leadership was not transferred to broker %d", to)
	}
	ctl("topic", "alter", "t", "--partitions", "9")
	sees("nine partitions with leaders", func(d topicDescriptionJSON) bool {
		return len(d.Partitions) == 9 && !slices.ContainsFunc(d.Partitions, func(p partitionJSON) bool { return p.Leader < 1 })
	})
	if got := ctl("placement", "plan"); !strings.Contains(got, "plan at revision") {
		t.Error(got)
	}
}

// only is an environment of one variable.
func only(name, value string) func(string) string {
	return func(k string) string {
		if k == name {
			return value
		}
		return ""
	}
}
