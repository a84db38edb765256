package controller

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
)

func TestSilenceAddsUpAndEndsWithABeat(t *testing.T) {
	h := hearing{replaceAfter: time.Minute, mute: 10 * time.Second, brokers: map[int32]*heard{}}
	brokers := map[int32]*placement.Broker{1: {ID: 1}, 2: {ID: 2}}
	up := map[int32]bool{1: true, 2: true}
	alive := func(b int32) bool { return up[b] }
	now := time.Unix(1_000_000, 0)
	pass := func(d time.Duration) bool {
		now = now.Add(d)
		return h.pass(now, brokers, alive)
	}
	if !pass(0) || !h.muted(1) || !h.muted(2) {
		t.Error("brokers that this leader sees for the first time are new to it: no leaders yet, and a plan")
	}
	for range 9 {
		if pass(time.Second) {
			t.Error("nothing changed")
		}
	}
	if !pass(time.Second) || h.muted(1) {
		t.Error("the muting ended, and a plan depends on it")
	}
	up[2] = false
	if !pass(time.Second) {
		t.Error("a broker fell silent, and a plan depends on it")
	}
	for range 58 {
		if pass(time.Second) {
			t.Errorf("broker 2 has been silent for %s only", h.brokers[2].silent)
		}
	}
	if !pass(time.Second) || h.brokers[2].silent < time.Minute {
		t.Errorf("broker 2 has been silent for %s, and nobody was told", h.brokers[2].silent)
	}
	up[2] = true
	if !pass(time.Second) || h.brokers[2].silent != 0 || !h.muted(2) {
		t.Error("it is back: no longer silent, and muted for a while")
	}
	delete(brokers, 2)
	if !pass(time.Second) || h.brokers[2] != nil {
		t.Error("it was removed")
	}
}

// A leader that was itself stopped for an hour, or whose clock jumped, has not listened for an hour.
func TestLeaderThatSleptTakesNobodyForDead(t *testing.T) {
	h := hearing{replaceAfter: time.Minute, mute: time.Second, brokers: map[int32]*heard{}}
	brokers := map[int32]*placement.Broker{1: {ID: 1}}
	now := time.Unix(1_000_000, 0)
	silent := func(int32) bool { return false }
	h.pass(now, brokers, silent)
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 100 * time.Hour} {
		now = now.Add(jump)
		h.pass(now, brokers, silent)
	}
	if d := h.brokers[1].silent; d > 3*maxSpan {
		t.Errorf("taken for silent for %s", d)
	}
}

func TestQuickRestartMutesToo(t *testing.T) {
	h := hearing{replaceAfter: time.Minute, mute: time.Second, brokers: map[int32]*heard{}}
	brokers := map[int32]*placement.Broker{1: {ID: 1}}
	now := time.Unix(1_000_000, 0)
	alive := func(int32) bool { return true }
	h.pass(now, brokers, alive)
	h.booted(1, 77)
	h.pass(now.Add(2*time.Second), brokers, alive)
	if h.muted(1) {
		t.Fatal("muted for ever")
	}
	h.booted(1, 77)
	if h.muted(1) {
		t.Error("muted without a restart")
	}
	h.booted(1, 78)
	if !h.muted(1) {
		t.Error("it was restarted between two passes")
	}
}
