package doctor

import (
	"bytes"
	"strconv"
	"strings"
)

// metrics are a broker's samples, by name.
type metrics struct{ samples map[string][]sample }

type sample struct {
	labels string // as written, without the braces
	value  float64
}

// parseMetrics reads the text format of Prometheus as brokers write it. A line that it cannot read is left out: an answer that was
// cut short still has the lines before.
func parseMetrics(text []byte) *metrics {
	m := &metrics{samples: map[string][]sample{}}
	for line := range bytes.Lines(text) {
		line := strings.TrimSpace(string(line))
		if line == "" || line[0] == '#' {
			continue
		}
		// A value has no space; a label's value may have some.
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			continue
		}
		name, labels, _ := strings.Cut(line[:at], "{")
		m.samples[name] = append(m.samples[name], sample{strings.TrimSuffix(labels, "}"), v})
	}
	return m
}

// sum adds up a metric's samples. It answers false if there are none, as in a broker of another version.
func (m *metrics) sum(name string) (sum float64, ok bool) {
	if m == nil {
		return 0, false
	}
	for _, s := range m.samples[name] {
		sum += s.value
	}
	return sum, len(m.samples[name]) > 0
}

// label is a label's value in a sample; escapes stay as they are.
func (s sample) label(name string) string {
	_, after, ok := strings.Cut(","+s.labels, ","+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(after, `"`)
	return value
}
