package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerctl/load"
)

// row is one line of the table.
type row struct {
	id, title string
	config    load.Config
	figure    figure
	// quick rows are those of a check.
	quick bool
	// anySync tells that the row does not depend on when a system syncs: it is measured in its strict column only.
	anySync bool
}

// failover and openLoop are rows that the runner treats in a way of their own.
const (
	failover = "failover"
	openLoop = "open-loop"
	// steadyLoop is an open loop at a rate that is the same on every machine.
	steadyLoop = "open-loop-300k"
)

// figure is the number by which a row is compared.
type figure struct {
	of func(measurement) float64
	// lower tells that less is better.
	lower bool
	text  func(measurement) string
}

var (
	rate = figure{
		of:   func(m measurement) float64 { return m.RecordsPerSecond },
		text: func(m measurement) string { return thousands(m.RecordsPerSecond) + "/s" },
	}
	megabytes = figure{
		of:   func(m measurement) float64 { return m.MBPerSecond },
		text: func(m measurement) string { return fmt.Sprintf("%.1f MB/s", m.MBPerSecond) },
	}
	rateAndLatency = figure{
		of: rate.of,
		text: func(m measurement) string {
			return fmt.Sprintf("%s/s, %s / %s", thousands(m.RecordsPerSecond), ms(m.P50US), ms(m.P99US))
		},
	}
	p99 = figure{
		of: func(m measurement) float64 { return m.P99US }, lower: true,
		text: func(m measurement) string { return fmt.Sprintf("%s / %s", ms(m.P99US), ms(m.P999US)) },
	}
	p50 = figure{
		of: func(m measurement) float64 { return m.P50US }, lower: true,
		text: func(m measurement) string { return fmt.Sprintf("%s / %s", ms(m.P50US), ms(m.P99US)) },
	}
	outage = figure{
		of: func(m measurement) float64 { return m.OutageMS }, lower: true,
		text: func(m measurement) string { return fmt.Sprintf("%.0f ms", m.OutageMS) },
	}
)

func ms(us float64) string { return fmt.Sprintf("%.2f ms", us/1000) }

// bufferBytes is what brokerctl bench lets a client of Runnel have unacknowledged.
const bufferBytes = 16 << 20

// rows are all rows, in the order they are measured.
func rows() []row {
	base := load.Config{Producers: 1, Consumers: 1, Partitions: 12, ReplicationFactor: 3, BufferBytes: bufferBytes, Linger: -1, Timeout: time.Minute}
	produce := func(id, title string, size, producers int, f figure) row {
		c := base
		c.Mode, c.RecordSize, c.Producers = load.Produce, size, producers
		return row{id: id, title: title, config: c, figure: f}
	}
	latency := func(id, title string, producers int32) row {
		c := base
		c.Mode, c.RecordSize, c.Producers, c.Partitions = load.Latency, 200, int(producers), producers
		return row{id: id, title: title, config: c, figure: rateAndLatency}
	}
	consume := func(id, title string, size int, records int64, f figure) row {
		c := base
		c.Mode, c.RecordSize, c.Records = load.Consume, size, records // at most so many: see fill
		return row{id: id, title: title, config: c, figure: f}
	}
	half := produce(openLoop, "open loop at half of Runnel's 200 B maximum: p99 / p99.9 to ack", 200, 1, p99)
	steady := produce(steadyLoop, "open loop at 300,000/s: p99 / p99.9 to ack", 200, 1, p99)
	steady.config.Rate = 300_000
	e2e := produce("end-to-end", "end to end, 1,000/s: p50 / p99", 200, 1, p50)
	e2e.config.Mode, e2e.config.Rate = load.EndToEnd, 1000
	all := []row{
		produce("200b-1", "200 B, one producer, 12 partitions", 200, 1, rate),
		produce("200b-4", "200 B, 4 producers, 12 partitions", 200, 4, rate),
		produce("1k-1", "1 KiB, one producer", 1024, 1, megabytes),
		produce("1k-4", "1 KiB, 4 producers", 1024, 4, megabytes),
		produce("64k-1", "64 KiB, one producer", 64<<10, 1, megabytes),
		produce("64k-4", "64 KiB, 4 producers", 64<<10, 4, megabytes),
		latency("one-at-a-time", "200 B one at a time, one producer: rate, p50 / p99", 1),
		latency("twelve-at-a-time", "200 B one at a time, 12 producers on 12 partitions", 12),
		half, steady,
		e2e,
		consume("consume-200b", "consume, one consumer, 200 B, warm", 200, 3_000_000, rate),
		consume("consume-1k", "consume, one consumer, 1 KiB, warm", 1024, 600_000, megabytes),
		consume("consume-64k", "consume, one consumer, 64 KiB, warm", 64<<10, 10_000, megabytes),
		{id: failover, title: "SIGKILL of a leader to next ack on the slowest of its partitions", figure: outage},
	}
	for i := range all {
		all[i].anySync = all[i].id == failover || all[i].config.Mode == load.Consume
		all[i].quick = slices.Contains([]string{"200b-1", "one-at-a-time", openLoop, "end-to-end", "consume-200b", failover}, all[i].id)
	}
	return all
}

// openLoop tells whether a row has a rate that was chosen before.
func (r row) openLoop() bool { return r.id == openLoop || r.id == steadyLoop }

// pick answers the rows named, comma-separated; all, or those of a check, if none is.
func pick(names string, quick bool) ([]row, error) {
	var out []row
	if names == "" {
		for _, r := range rows() {
			if r.quick || !quick {
				out = append(out, r)
			}
		}
		return out, nil
	}
	all := rows()
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(r row) bool { return r.id == name })
		if i < 0 {
			var ids []string
			for _, r := range all {
				ids = append(ids, r.id)
			}
			return nil, fmt.Errorf("no row %q; the rows are %s", name, strings.Join(ids, ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

// fillTime bounds how long a topic is filled before it is consumed, at the rate that the system has shown.
const fillTime = 6 * time.Second

// fill answers how many records a consume row's topic gets: those of bench/rows, but no more than the system takes in
// fillTime.
func fill(most int64, recordsPerSecond float64) int64 {
	if recordsPerSecond <= 0 {
		return most / 10
	}
	return max(min(most, int64(recordsPerSecond*fillTime.Seconds())), 1)
}

// thousands writes a number with separators.
func thousands(f float64) string {
	s := fmt.Sprintf("%.0f", f)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
