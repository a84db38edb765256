package main

import (
	"fmt"
	"regexp"
	"strings"
)

// what may differ from run to run. Order counts: a time is not only numbers.
var vary = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b\d{8}T\d{6}Z\b`), "TIME"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[0-9.]*(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`\bcluster [A-Za-z0-9_-]{8,}`), "cluster ID"},
	{regexp.MustCompile(`\b(development(-[0-9a-f]{12})?|v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?)\b`), "VERSION"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ns|µs|ms|h|m|s)(\d+(\.\d+)?(m|s))*\b`), "SPAN"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ?(B|KiB|MiB|GiB|TiB)\b`), "SIZE"},
	{regexp.MustCompile(`\d+(,\d+)*`), "N"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// shape is a line without what may differ.
func shape(line string) string {
	for _, v := range vary {
		line = v.re.ReplaceAllString(line, v.with)
	}
	return strings.TrimSpace(line)
}

// differs tells where an output is not of the shape that is wanted; nil if it is. A line "..." stands for any lines.
func differs(want, got string) error {
	w, g := split(want), split(got)
	i := 0
	for n := 0; n < len(w); n++ {
		if w[n] == "..." {
			if n == len(w)-1 {
				return nil
			}
			next := shape(w[n+1])
			for i < len(g) && shape(g[i]) != next {
				i++
			}
			continue
		}
		if i == len(g) {
			return fmt.Errorf("it ends before %q", w[n])
		}
		if shape(w[n]) != shape(g[i]) {
			return fmt.Errorf("it prints %q where the page has %q", g[i], w[n])
		}
		i++
	}
	if i < len(g) {
		return fmt.Errorf("it goes on with %q", g[i])
	}
	return nil
}

func split(text string) []string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
