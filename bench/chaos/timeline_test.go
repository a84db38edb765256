package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/workload"
)

// The page of the second round begins with it, and has a mark where the record near a violation was written.
func TestTheTimeLineIsOfTheRoundAndMarksViolations(t *testing.T) {
	r := judged(t)
	r.began = time.Now().Add(-70 * time.Second)
	r.since = 60 * time.Second
	r.fired = append(r.fired, fired{Kind: wipe, What: "broker 2, wiped", Begin: 62 * time.Second, End: 64 * time.Second})
	r.slots = []workload.Slot{{Topic: "plain-1"}, {Topic: "small-1"}}
	r.outages = []outage{{Slot: 1, Begin: 62 * time.Second, End: 63 * time.Second}}
	r.violations = []check.Violation{{Invariant: "I6", What: "twice", Placed: true, Partition: 1, Offset: 41}}
	h := check.History{Appends: []check.Append{
		{Partition: 0, Offset: 41, Outcome: check.OK, Invoke: 1 * time.Second, Return: 2 * time.Second},
		{Partition: 1, Offset: 50, Outcome: check.OK, Invoke: 7 * time.Second, Return: 8 * time.Second},
		{Partition: 1, Offset: 42, Outcome: check.OK, Invoke: 5 * time.Second, Return: 6 * time.Second},
	}}
	path := r.path("page.html")
	if err := r.timeline(path, h, nil); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, want := range []string{
		`<rect x="184"`, "broker 2, wiped", // two seconds after the beginning, 12 pixels each
		"no record acknowledged from 62.0 to 63.0 s",
		`<rect x="220"`, "the record at offset 42 was sent at 65.0 s: I6: twice",
		">60</text>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "the last one") {
		t.Error("the page has a fault of the round before")
	}
	if n := strings.Count(page, "was sent at"); n != 1 {
		t.Errorf("%d marks for one violation", n)
	}
}
