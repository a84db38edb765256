package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// result is how a program ended.
type result struct {
	code   int  // exit status; -1: by a signal
	late   bool // it was ended since its time was up
	output string
}

// The exit statuses that the layers agreed on. A test binary ends with 1 when a test failed and with 2 when one panicked.
const (
	exitGreen = 0
	exitRed   = 1
)

// A violation as the layers print it: the invariant's name, a colon, and words. The crash layer has no name for a store that stops while
// it is recorded, on a sound disk: elsewhere that is "run".
var (
	violationLine = regexp.MustCompile(`(?m)(?:^|\s)(I\d{1,2}|run): ([^\d\s].*)$`)
	storeFailed   = regexp.MustCompile(`(?m)^VIOLATION, seed \d+: (the store failed )`)
)

// green tells why a run without a bug proves nothing, or "".
func (e *entry) green(r result) string {
	switch {
	case r.late:
		return "it did not end in time"
	case r.code != exitGreen:
		return fmt.Sprintf("it is red without the bug (exit %d)", r.code)
	case e.layer == unit:
		for name := range strings.SplitSeq(e.tests, "|") {
			if !strings.Contains(r.output, "--- PASS: "+name+" ") {
				return name + " did not run"
			}
		}
	}
	return ""
}

// caught tells by what a run with the bug shows it, or else why it does not.
func (e *entry) caught(r result) (by, why string) {
	switch {
	case r.late:
		return "", "it did not end in time"
	case r.code == exitGreen:
		return "", "nothing was found"
	case r.code != exitRed:
		return "", fmt.Sprintf("it could not run, or crashed (exit %d)", r.code)
	}
	if e.layer == unit {
		return e.caughtByTest(r.output)
	}
	var others []string
	output := storeFailed.ReplaceAllString(r.output, "run: $1")
	for _, m := range violationLine.FindAllStringSubmatch(output, -1) {
		if slices.Contains(e.sees, m[1]) {
			return m[1] + ": " + m[2], ""
		}
		if len(others) < 3 {
			others = append(others, m[1]+": "+m[2])
		}
	}
	if len(others) == 0 {
		return "", "it is red, and names no violation"
	}
	return "", fmt.Sprintf("it is red, but not by %s: %s", strings.Join(e.sees, ", "), strings.Join(others, "; "))
}

func (e *entry) caughtByTest(output string) (by, why string) {
	failed := ""
	for name := range strings.SplitSeq(e.tests, "|") {
		if strings.Contains(output, "--- FAIL: "+name+" ") {
			failed = name
		}
	}
	if failed == "" {
		return "", "it is red, but not by " + e.tests
	}
	said := regexp.MustCompile(e.says).FindString(output)
	if said == "" {
		return "", fmt.Sprintf("%s fails, but does not say %q", failed, e.says)
	}
	return e.sees[0] + ": " + failed + ": " + lineWith(output, said), ""
}

// lineWith is the line of a text in which a part of it begins.
func lineWith(text, part string) string {
	at := strings.Index(text, part)
	begin := strings.LastIndexByte(text[:at], '\n') + 1
	line, _, _ := strings.Cut(text[begin:], "\n")
	return strings.TrimSpace(line)
}
