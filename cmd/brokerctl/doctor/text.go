package doctor

import (
	"fmt"
	"strings"
	"unicode"
)

// notes are what a reader should know of the bundle itself.
func notes(f *facts, b *bundle) []string {
	var out, off []string
	for _, br := range f.brokers {
		if br.pprofOff {
			off = append(off, br.name)
		}
	}
	if len(off) > 0 {
		out = append(out, fmt.Sprintf("no profiles of %s: pprof is off there (--pprof, or pprof: true, switches it on)", strings.Join(off, ", ")))
	}
	for _, r := range f.plan.GetRecoveries() {
		out = append(out, fmt.Sprintf("%s/%d was recovered by hand at revision %d, with what one replica had: %s", r.GetTopic(), r.GetPartition(), r.GetRevision(), r.GetNote()))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	secrets := 0
	for _, e := range b.files {
		secrets += e.Secrets
	}
	if secrets > 0 {
		out = append(out, fmt.Sprintf("%d values that looked like secrets were cut out", secrets))
	}
	return out
}

// Text is what the terminal shows and findings.txt holds.
func (r Result) Text() string {
	var b strings.Builder
	switch {
	case r.Cluster == "":
		fmt.Fprintf(&b, "no cluster answers; metrics of %d of %d brokers\n", r.Telling, r.Brokers)
	default:
		fmt.Fprintf(&b, "cluster %s, metrics of %d of %d brokers\n", plain(r.Cluster), r.Telling, r.Brokers)
	}
	switch n := len(r.Findings); n {
	case 0:
		b.WriteString("nothing looks wrong\n")
	case 1:
		b.WriteString("1 finding:\n")
	default:
		fmt.Fprintf(&b, "%d findings:\n", n)
	}
	for _, f := range r.Findings {
		mark := "warn"
		if f.Bad {
			mark = "BAD "
		}
		fmt.Fprintf(&b, "  %s  %s\n        do: %s\n", mark, plain(f.What), plain(f.Do))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", plain(n))
	}
	return b.String()
}

// plain is a text with words of a broker in it, on one line and with nothing that steers a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// bytesText writes a number of bytes for people.
func bytesText(n float64) string {
	const unit = 1024
	for _, u := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < unit {
			if u == "B" {
				return fmt.Sprintf("%.0f B", n)
			}
			return fmt.Sprintf("%.1f %s", n, u)
		}
		n /= unit
	}
	return fmt.Sprintf("%.1f TiB", n)
}
