package main

import (
	"context"
	"fmt"
	"slices"
)

// row is one line of the table.
type row struct {
	id    string   // what -row names
	title string   // what the table says
	args  []string // of brokerctl bench
	size  int      // bytes a record
	bound bool     // bound by throughput: -limit applies
	want  func(r result) string
	goal  string
	// special runs a row that takes more than one call of brokerctl bench.
	special func(ctx context.Context, b bencher) (result, error)
}

// writes tells whether the row is about writing.
func (r row) writes() bool { return len(r.args) > 0 && r.args[0] != "consume" }

// Figures of a row, as the table shows them.
func rate(r result) string { return fmt.Sprintf("%s/s", thousands(r.RecordsPerSecond)) }
func megabytes(r result) string {
	return fmt.Sprintf("%.0f MB/s", r.MBPerSecond)
}
func median(r result) string {
	return fmt.Sprintf("%s/s, p50 %s, p99 %s", thousands(r.RecordsPerSecond), ms(r.P50), ms(r.P99))
}
func tail(r result) string    { return fmt.Sprintf("p99 %s, p99.9 %s", ms(r.P99), ms(r.P999)) }
func halfway(r result) string { return fmt.Sprintf("p50 %s, p99 %s", ms(r.P50), ms(r.P99)) }

func ms(us float64) string { return fmt.Sprintf("%.2f ms", us/1000) }

// rows are all rows that one cluster can run after another, in the table's order.
func rows() []row {
	produce := func(id, title string, size, producers int, want func(result) string, goal string) row {
		return row{
			id: id, title: title, size: size, bound: true, want: want, goal: goal,
			args: []string{"produce", "--record-size", fmt.Sprint(size), "--producers", fmt.Sprint(producers), "--partitions", "12"},
		}
	}
	consume := func(id, title string, size, records int, want func(result) string, goal string) row {
		return row{
			id: id, title: title, size: size, want: want, goal: goal,
			args: []string{"consume", "--record-size", fmt.Sprint(size), "--consumers", "1", "--partitions", "12", "--records", fmt.Sprint(records)},
		}
	}
	return []row{
		produce("200b-1", "200 B, one producer, 12 partitions", 200, 1, rate, "600,000/s"),
		produce("200b-4", "200 B, 4 producers, 12 partitions", 200, 4, rate, "700,000/s"),
		produce("1k-1", "1 KiB, one producer", 1024, 1, megabytes, "150 MB/s"),
		produce("1k-4", "1 KiB, 4 producers", 1024, 4, megabytes, "160 MB/s"),
		produce("64k-1", "64 KiB, one producer", 64<<10, 1, megabytes, "200 MB/s"),
		produce("64k-4", "64 KiB, 4 producers", 64<<10, 4, megabytes, "200 MB/s"),
		{
			id: "one-at-a-time", title: "200 B one at a time, one producer", size: 200, want: median, goal: "900/s, 1.0 / 2.2 ms",
			args: []string{"latency", "--record-size", "200", "--producers", "1", "--partitions", "1"},
		},
		{
			id: "twelve-at-a-time", title: "200 B one at a time, 12 producers on 12 partitions", size: 200, want: median, goal: "1,700/s",
			args: []string{"latency", "--record-size", "200", "--producers", "12", "--partitions", "12"},
		},
		{
			id: "open-loop", title: "open loop at half of the first row's maximum, 200 B: produce to ack", size: 200, want: tail, goal: "20 / 50 ms",
			args: []string{"produce", "--record-size", "200", "--producers", "1", "--partitions", "12", "--rate", "HALF"},
		},
		{ // half of what the first row is to reach, and the same on every machine
			id: "open-loop-300k", title: "open loop at 300,000/s, 200 B: produce to ack", size: 200, want: tail, goal: "20 / 50 ms",
			args: []string{"produce", "--record-size", "200", "--producers", "1", "--partitions", "12", "--rate", "300000"},
		},
		{
			id: "end-to-end", title: "end to end, produce to consumer, 1,000/s", size: 200, want: halfway, goal: "1.5 / 5 ms",
			args: []string{"e2e", "--record-size", "200", "--partitions", "12", "--rate", "1000"},
		},
		consume("consume-200b", "consume, one consumer, 200 B", 200, 3_000_000, rate, "2,000,000/s"),
		consume("consume-1k", "consume, one consumer, 1 KiB", 1024, 600_000, megabytes, "500 MB/s"),
		consume("consume-64k", "consume, one consumer, 64 KiB", 64<<10, 10_000, megabytes, "700 MB/s"),
		spread(1), spread(12), spread(120), spread(1200),
		{ // last: it starts the brokers again
			id: "consume-cold", title: "consume, one consumer, 1 KiB, cold from disk", size: coldRecord, want: megabytes, goal: "250 MB/s",
			special: consumeCold,
		},
	}
}

// spread is the first row over another number of partitions.
func spread(partitions int) row {
	return row{
		id: fmt.Sprintf("spread-%d", partitions), title: fmt.Sprintf("200 B, one producer, %d partitions", partitions), size: 200, want: rate,
		goal: "falls < 30% from 12 to 1,200",
		args: []string{"produce", "--record-size", "200", "--producers", "1", "--partitions", fmt.Sprint(partitions)},
	}
}

// pick answers the rows named, all if none is.
func pick(names []string) ([]row, error) {
	all := rows()
	if len(names) == 0 {
		return all, nil
	}
	var out []row
	for _, n := range names {
		i := slices.IndexFunc(all, func(r row) bool { return r.id == n })
		if i < 0 {
			var ids []string
			for _, r := range all {
				ids = append(ids, r.id)
			}
			return nil, fmt.Errorf("no row %q; the rows are %v", n, ids)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// thousands writes a number with separators.
func thousands(f float64) string {
	s := fmt.Sprintf("%.0f", f)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
