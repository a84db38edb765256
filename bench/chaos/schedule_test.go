package main

import (
	"reflect"
	"slices"
	"testing"
)

func draw(seed uint64, number, n int, chosen []string) []step {
	l := newLane(seed, number, chosen, 6)
	var out []step
	for range n {
		out = append(out, l.next())
	}
	return out
}

func TestASeedAlwaysGivesTheSameSchedule(t *testing.T) {
	for number := range lanes {
		a, b := draw(7, number, 50, kinds()), draw(7, number, 50, kinds())
		if !reflect.DeepEqual(a, b) {
			t.Errorf("lane %d: one seed, two schedules", number)
		}
		if reflect.DeepEqual(a, draw(8, number, 50, kinds())) {
			t.Errorf("lane %d: two seeds, one schedule", number)
		}
	}
}

func TestEachKindComesInEachRound(t *testing.T) {
	seen := map[string]bool{}
	for number, ks := range lanes {
		for _, s := range draw(3, number, len(ks)+2, kinds()) {
			seen[s.Kind] = true
			order := slices.Clone(s.Order)
			slices.Sort(order)
			if !slices.Equal(order, []int{1, 2, 3, 4, 5, 6}) {
				t.Errorf("the order %v is not one of all brokers", s.Order)
			}
			if s.For <= 0 || s.Pause <= 0 {
				t.Errorf("%+v takes no time", s)
			}
		}
	}
	for _, k := range kinds() {
		if !seen[k] {
			t.Errorf("%s does not come", k)
		}
	}
}

func TestOnlyChosenKindsCome(t *testing.T) {
	chosen, err := parseKinds("kill,wipe,kill")
	if err != nil || !slices.Equal(chosen, []string{kill, wipe}) {
		t.Fatalf("%v, %v", chosen, err)
	}
	if newLane(1, 1, chosen, 6) != nil {
		t.Error("a lane without a chosen kind draws")
	}
	for _, s := range append(draw(1, 0, 20, chosen), draw(1, 2, 20, chosen)...) {
		if s.Kind != kill && s.Kind != wipe {
			t.Errorf("%s was not chosen", s.Kind)
		}
	}
	if _, err := parseKinds("kill,quake"); err == nil {
		t.Error("an unknown kind is taken")
	}
	if all, err := parseKinds(""); err != nil || len(all) != len(kinds()) {
		t.Errorf("by default: %v, %v", all, err)
	}
}

// A short run must be able to fire a hundred faults and each kind.
func TestFourMinutesHoldAHundredFaults(t *testing.T) {
	for seed := range uint64(20) {
		fired := 0
		for number := range 2 { // the third lane waits for health
			for left := 170.0; left > 0; fired++ {
				s := draw(seed, number, fired+1, kinds())[fired]
				left -= (s.For + s.Pause).Seconds() + 0.3
			}
		}
		if fired < 100 {
			t.Errorf("seed %d: %d faults in 170 s", seed, fired)
		}
	}
}
