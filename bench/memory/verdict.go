package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// sample is one look at all brokers.
type sample struct {
	at      time.Duration // since the load began
	records float64       // acknowledged since the brokers started
	memory  []int64       // resident bytes of each broker
	disk    int64         // bytes of all brokers' files
}

const (
	// most is what no broker may ever hold, and growth how far the greatest of the second half may lie above that of the first.
	most   = 600 << 20
	growth = 1.15
)

// verdict says whether memory is flat.
type verdict struct {
	flat bool
	text string
}

// judge compares the second half of the time with the first, broker by broker.
func judge(samples []sample) verdict {
	if len(samples) < 4 {
		return verdict{text: fmt.Sprintf("not flat: %d looks at the brokers say nothing", len(samples))}
	}
	half := len(samples) / 2
	var bad, good []string
	for b := range samples[0].memory {
		_, first := extremes(samples[:half], b)
		_, last := extremes(samples[half:], b)
		line := fmt.Sprintf("broker %d %s MiB in the first half, %s in the second (%+.0f%%)", b+1, mib(first), mib(last), 100*(float64(last)/float64(first)-1))
		good = append(good, line)
		switch {
		case max(first, last) > most:
			bad = append(bad, line+fmt.Sprintf(", above %s MiB", mib(most)))
		case float64(last) > growth*float64(first):
			bad = append(bad, line+fmt.Sprintf(", more than %.0f%% above", 100*(growth-1)))
		}
	}
	if len(bad) > 0 {
		return verdict{text: "not flat: at most " + strings.Join(bad, "; ")}
	}
	return verdict{flat: true, text: "flat: at most " + strings.Join(good, "; ")}
}

// render makes the table, a line a minute.
func render(samples []sample) string {
	t := table.NewWriter()
	head := table.Row{"Minute", "Records/s"}
	if len(samples) == 0 {
		return "no look at the brokers"
	}
	for b := range samples[0].memory {
		head = append(head, fmt.Sprintf("Broker %d, MiB", b+1))
	}
	t.AppendHeader(append(head, "Disk, GB at most"))
	var before *sample // the last of the minute before
	for from := 0; from < len(samples); {
		minute := int(samples[from].at / time.Minute)
		to := from
		for to < len(samples) && int(samples[to].at/time.Minute) == minute {
			to++
		}
		last := &samples[to-1]
		if before == nil {
			before = &samples[from]
		}
		rate := "" // a single look has none
		if d := last.at - before.at; d > 0 {
			rate = fmt.Sprintf("%.0f", (last.records-before.records)/d.Seconds())
		}
		line := table.Row{minute + 1, rate}
		for b := range last.memory {
			low, high := extremes(samples[from:to], b)
			line = append(line, mib(low)+"-"+mib(high))
		}
		most := int64(0)
		for _, s := range samples[from:to] {
			most = max(most, s.disk)
		}
		t.AppendRow(append(line, fmt.Sprintf("%.1f", float64(most)/1e9)))
		before, from = last, to
	}
	return t.Render()
}

// extremes of one broker.
func extremes(samples []sample, broker int) (low, high int64) {
	low, high = samples[0].memory[broker], samples[0].memory[broker]
	for _, s := range samples {
		low, high = min(low, s.memory[broker]), max(high, s.memory[broker])
	}
	return low, high
}

func mib(bytes int64) string { return fmt.Sprintf("%.0f", float64(bytes)/(1<<20)) }
