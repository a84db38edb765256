package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A script must not take half a topic for all of it.
func TestConsumeThatIsInterruptedBeforeWhatItWasToReachFails(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders")
	try(t.Context(), f, "a\nb\nc\n", "produce", "orders")
	f.hangs = true
	for _, c := range []struct{ flags, want string }{
		{"--exit-at-end", "interrupted after writing 3 records: the end was not reached"},
		{"-n 5", "interrupted after writing 3 records: -n 5 was not reached"},
		{"-n 5 --exit-at-end", "interrupted after writing 3 records: neither -n 5 nor the end was reached"},
		{"-n 5 -o json", "interrupted after writing 3 records: -n 5 was not reached"},
		{"-n 1", ""},
		{"-n 3 --exit-at-end", ""},
		{"", ""}, // followed: an interrupt is the way to stop
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			r := try(ctx, f, "", strings.Fields("consume orders --offset start "+c.flags)...)
			status, want := 0, ""
			if c.want != "" {
				status, want = 1, "brokerctl: "+c.want+"\n"
			}
			if r.status != status || r.err != want || !strings.Contains(r.out, "a") {
				t.Errorf("%q: status %d, %q, %q", c.flags, r.status, r.out, r.err)
			}
		})
	}
	if f.open != 0 {
		t.Errorf("%d clients and readers are still open", f.open)
	}
}

func TestConsumeThatIsInterruptedBeforeItBeginsFailsOnlyIfItWasToReachSomething(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders")
	for _, c := range []struct {
		flags, want string
		status      int
	}{
		{"", "", 0},
		{"--offset -5", "", 0},
		{"--offset end -n 1", "brokerctl: interrupted after writing 0 records: -n 1 was not reached\n", 1},
		{"--offset -5 --exit-at-end", "brokerctl: interrupted after writing 0 records: the end was not reached\n", 1},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		f.down = context.Canceled // what a call is answered whose context has ended
		if r := try(ctx, f, "", strings.Fields("consume orders "+c.flags)...); r.status != c.status || r.err != c.want {
			t.Errorf("%q: status %d, %q", c.flags, r.status, r.err)
		}
		f.down, f.offsetsDown = nil, context.Canceled
		if r := try(ctx, f, "", strings.Fields("consume orders "+c.flags)...); r.status != c.status || r.err != c.want {
			t.Errorf("%q, when the offsets are asked for: status %d, %q", c.flags, r.status, r.err)
		}
		f.offsetsDown = nil
	}
}
