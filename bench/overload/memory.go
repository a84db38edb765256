package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

// What a broker may hold, in bytes of its own that are resident: pages of its files, which the system takes back when it wants them, do not
// count. base is what no broker holds under a load that it can serve (bench/memory); the budgets of memory.tail.bytes and
// memory.produce.bytes, and what Go's collector leaves, are in it. The rest is what each of those who ask too much may cost, however
// long they do.
const (
	base        = 600 << 20
	perIdle     = 40 << 10                   // a connection that says nothing
	perReader   = 4 << 20                    // a response that nobody takes, in the making and with gRPC
	perProducer = 2*(2<<20) + 2<<20          // the stream's window, and a request of 1 MB, as it came and decoded
	perLargest  = 2*(2<<20) + 2*largestBatch // the same of the largest request
	comesBack   = 1.5                        // times what the heap had before, and
	slack       = 96 << 20                   // so much, is what it may have afterwards
	leakSlack   = 200                        // goroutines or open files
	// Go's collector lets a heap grow to twice what is in use.
	collector = 2
)

// allowed is the limit for all brokers of a phase in which these loads run, so many of each at a time.
func allowed(n map[string]int) int64 {
	return base + int64(n["idle"])*perIdle + collector*(int64(n["readers"]+1)*perReader+int64(n["producers"])*perProducer+
		int64(n["largest"])*perLargest)
}

// state is what a broker holds.
type state struct {
	heap            float64
	goroutines, fds float64
	errors          map[string]float64 // given to clients, by reason
	waited          float64            // requests, for room in the budget
	fetches         float64            // open streams of consumers
	closed          map[string]float64 // connections of clients, by why
}

// look asks /proc and the broker's metrics.
func look(ctx context.Context, b *proc.Broker) (s state, err error) {
	s.errors, s.closed = map[string]float64{}, map[string]float64{}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.HTTP+"/metrics", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	want := map[string]*float64{
		"go_memstats_heap_inuse_bytes": &s.heap, "go_goroutines": &s.goroutines, "process_open_fds": &s.fds,
		"runnel_broker_produce_budget_waits_total": &s.waited, `runnel_broker_streams{api="fetch"}`: &s.fetches,
	}
	seen := 0
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue // not ours
		}
		if to, ok := want[name]; ok {
			*to = v
			seen++
		}
		for prefix, to := range map[string]map[string]float64{
			"runnel_broker_errors_total{": s.errors, "runnel_broker_closed_connections_total{": s.closed,
		} {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				if _, reason, ok := strings.Cut(rest, `reason="`); ok {
					reason, _, _ = strings.Cut(reason, `"`)
					to[reason] += v
				}
			}
		}
	}
	if seen != len(want) {
		return s, fmt.Errorf("broker %d: /metrics lacks some of what is wanted", b.Number)
	}
	return s, lines.Err()
}

// resident reads how much of a process's own memory is resident, in bytes.
func resident(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "RssAnon:" && f[2] == "kB" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status does not tell of RssAnon", pid)
}

// watch looks at the brokers' memory until it is stopped.
type watch struct {
	stop    func()
	done    sync.WaitGroup
	samples [][]int64 // of each broker, one every lookEvery; written by one goroutine, read once it has ended
	err     error
}

const lookEvery = 50 * time.Millisecond

func watchMemory(ctx context.Context, c *proc.Cluster) *watch {
	ctx, stop := context.WithCancel(ctx)
	w := &watch{stop: stop, samples: make([][]int64, len(c.Brokers))}
	w.done.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for i, b := range c.Brokers {
				n, err := resident(b.PID())
				if err != nil {
					if w.err == nil {
						w.err = fmt.Errorf("broker %d: %w", b.Number, err)
					}
					continue
				}
				w.samples[i] = append(w.samples[i], n)
			}
		}
	})
	return w
}

// end answers the most that each broker held, and if it was watched for long enough, whether that climbed.
func (w *watch) end(d time.Duration) (most []int64, climbs []climb, err error) {
	w.stop()
	w.done.Wait()
	for i, s := range w.samples {
		if len(s) < 3 {
			return nil, nil, errors.Join(w.err, fmt.Errorf("broker %d: its memory was looked at %d times", i+1, len(s)))
		}
		most = append(most, slices.Max(s))
		if d >= longEnough {
			climbs = append(climbs, climbOf(s))
		}
	}
	return most, climbs, w.err
}

// Memory must be flat under a load that goes on: what it costs is reached in the first third, which takes up to ten seconds where all loads come
// at once, and the last is not above the middle one. Means are compared, since the collector makes a saw of it: the heap grows from what is
// in use to twice that, is swept, and the pages go back to the system over seconds. With some five teeth in a third, one more or one less
// moves the mean by a tenth of what is held, and a tooth is higher where more was in flight when it began. So a fifth is allowed, and
// flatSlack where that is less: what is in flight does not shrink with the heap. It finds what keeps 15 MiB a second of a broker that
// holds 500 MiB and is watched for half a minute. What is kept more slowly than that is for comeBack.
const (
	longEnough  = 30 * time.Second
	flatPercent = 20
	flatSlack   = 64 << 20
)

// climb is the mean of what a broker held in the middle and in the last third of a while.
type climb struct{ middle, last int64 }

func climbOf(samples []int64) climb {
	third := len(samples) / 3
	mean := func(of []int64) int64 {
		sum := int64(0)
		for _, n := range of {
			sum += n
		}
		return sum / int64(len(of))
	}
	return climb{mean(samples[third : 2*third]), mean(samples[2*third:])}
}

func (c climb) tooMuch() bool { return c.last > c.middle+max(c.middle*flatPercent/100, flatSlack) }
