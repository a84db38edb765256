package doctor

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/runnel-io/runnel/partition/env/allocs"
)

// FuzzPages reads what a broker answers over HTTP: its metrics, and how it is. Every sample is the same when it is written again, sums are those of
// the samples, and whatever is found is said in lines that steer no terminal.
func FuzzPages(f *testing.F) {
	f.Add([]byte("# HELP runnel_broker_disk_full x\nrunnel_broker_disk_full 0\nprocess_max_fds 1.048576e+06\nprocess_open_fds 40\n"), "ok", "")
	f.Add([]byte("runnel_broker_disk_free_bytes 9e+11\nrunnel_broker_disk_reserve_bytes 1e9\nrunnel_broker_disk_total_bytes 2e12\n"), "", "not ready: opening 3 of 9 replicas")
	f.Add([]byte(`runnel_tls_certificate_not_after_seconds{use="client"} 1.8e9`+"\n"+`runnel_tls_certificate_not_after_seconds{use="peer\n"} -1`+"\n"), "meta.db\ncannot be written", "")
	f.Add([]byte("runnel_raft_panics_total NaN\nprocess_max_fds -Inf\nprocess_open_fds +Inf\nrunnel_raft_stalled_groups 3 1700000000\ncut off in the mid"), "", "")
	f.Add([]byte(`a{b="c d",e="f"} 0x1p-2`+"\n{} 5\n{ 5\n} 5\n"), "", "")
	f.Fuzz(func(t *testing.T, page []byte, healthy, ready string) {
		var m *metrics
		allocs.Most(t, 1<<20+256*uint64(len(page)), func() { m = parseMetrics(page) })
		read := 0
		for name, samples := range m.samples {
			read += len(samples)
			sum, ok := m.sum(name)
			if !ok || name == "" {
				continue
			}
			var written strings.Builder
			want := 0.0
			for _, s := range samples {
				want += s.value
				written.WriteString(name + "{" + s.labels + "} " + strconv.FormatFloat(s.value, 'g', -1, 64) + "\n")
			}
			again := parseMetrics([]byte(written.String())).samples[name]
			if len(again) != len(samples) || !same(sum, want) {
				t.Fatalf("%d samples of %q with the sum %g, not %g; written again they are %d", len(samples), name, sum, want, len(again))
			}
			for i, s := range samples {
				if again[i].labels != s.labels || !same(again[i].value, s.value) {
					t.Fatalf("%+v is written again as %+v", s, again[i])
				}
			}
		}
		if most := strings.Count(string(page), "\n") + 1; read > most {
			t.Fatalf("%d samples of %d lines", read, most)
		}
		facts := wellOff()
		b := facts.brokers[1]
		b.metrics, b.healthy, b.ready = m, healthy, ready
		r := Result{Cluster: "c", Findings: judge(facts), Notes: []string{"of " + ready}}
		text := r.Text()
		if lines := 3 + 2*len(r.Findings); strings.Count(text, "\n") != lines {
			t.Fatalf("%d findings and a note in other than %d lines:\n%s", len(r.Findings), lines, text)
		}
		if bad := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); bad >= 0 || !utf8.ValidString(text) {
			t.Fatalf("it is no text for a terminal at %d: %q", bad, text)
		}
	})
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
