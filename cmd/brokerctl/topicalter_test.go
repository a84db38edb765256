package main

import (
	"strings"
	"testing"
)

// A broker that was cut off, or has just started, lists what it knew before.
func TestFewerReplicasAreAskedForWhereTheBrokerAskedHasNotHeardOfTheTopic(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders")
	f.unheard = true
	alter := func(tty bool, stdin, topic string, more ...string) result {
		return tryAt(t.Context(), f, stdin, tty, append([]string{"topic", "alter", topic, "--replication-factor", "2"}, more...)...)
	}
	const what = "topic orders would have 2 replicas of each partition, which may be fewer than it has now"
	if r := alter(false, "", "orders"); r.status != 1 || r.err != "brokerctl: "+what+": say so with --yes\n" {
		t.Errorf("in a script: status %d, %q", r.status, r.err)
	}
	if r := alter(true, "n\n", "orders"); r.status != 1 || r.err != what+". Go on? [y/N] brokerctl: nothing was changed\n" {
		t.Errorf("at a terminal: status %d, %q", r.status, r.err)
	}
	if r := alter(false, "", "missing"); r.status != 1 || !strings.Contains(r.err, `topic "missing" does not exist`) {
		t.Errorf("a topic that nobody knows: status %d, %q", r.status, r.err)
	}
	if f.topics[0].replicas != 3 {
		t.Errorf("%d replicas without consent", f.topics[0].replicas)
	}
	if r := alter(false, "", "orders", "--yes"); r.status != 0 || f.topics[0].replicas != 2 {
		t.Errorf("with consent: status %d, %q", r.status, r.err)
	}
}

// A broker that has not heard yet that the topic got more replicas takes fewer of them for more.
func TestFewerReplicasThanTheControllerKnowsOfNeedConsentWhateverTheBrokerAskedLists(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders")
	f.listed = 1
	const args = "topic alter orders --config segment.ms=1 --replication-factor 2"
	for _, tty := range []bool{false, true} {
		r := tryAt(t.Context(), f, "", tty, strings.Fields(args)...)
		if r.status != 1 || r.err != "brokerctl: topic \"orders\" would have fewer replicas, and nobody has consented; changed before that: its settings\n" {
			t.Errorf("terminal: %v: status %d, %q", tty, r.status, r.err)
		}
	}
	if f.topics[0].replicas != 3 {
		t.Errorf("%d replicas without consent", f.topics[0].replicas)
	}
	f.listed = 3
	if r := tryAt(t.Context(), f, "y\n", true, strings.Fields(args)...); r.status != 0 || f.topics[0].replicas != 2 {
		t.Errorf("with consent: status %d, %q", r.status, r.err)
	}
	f.listed = 1
	if r := try(t.Context(), f, "", "topic", "alter", "orders", "--replication-factor", "1", "--yes"); r.status != 0 || f.topics[0].replicas != 1 {
		t.Errorf("with --yes: status %d, %q", r.status, r.err)
	}
}
