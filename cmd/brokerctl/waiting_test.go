package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func waitingCluster(t *testing.T) *fakeCluster {
	t.Helper()
	f := newFakeCluster()
	if r := try(t.Context(), f, "", "topic", "create", "orders"); r.status != 0 {
		t.Fatal(r.err)
	}
	f.waiting = "partition orders/0 has no leader"
	return f
}

func TestConsumeToTheEndGivesUpWithTheReason(t *testing.T) {
	f := waitingCluster(t)
	for _, c := range []struct {
		flags string
		after time.Duration
	}{{"", questionTimeout}, {" --timeout 2s", 2 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			r := try(t.Context(), f, "", strings.Fields("consume orders --offset start --exit-at-end"+c.flags)...)
			want := "brokerctl: no answer within " + c.after.String() + ": partition orders/0 has no leader (asked"
			if r.status != 1 || !strings.HasPrefix(r.err, want) || time.Since(began) != c.after {
				t.Errorf("status %d after %v: %s", r.status, time.Since(began), r.err)
			}
		})
	}
}

func TestConsumeSaysNowAndThenWhyItWaits(t *testing.T) {
	f := waitingCluster(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 34*time.Second) // at 3, 13, 23 and 33 s
		defer cancel()
		r := try(ctx, f, "", "consume", "orders")
		if want := strings.Repeat("waiting: partition orders/0 has no leader\n", 4); r.status != 0 || r.err != want {
			t.Errorf("status %d: %s", r.status, r.err)
		}
	})
}
