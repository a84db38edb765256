package raftlog

import "testing"

func TestFloorRisesAndSurvivesACrash(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	if s.Floor() != 0 {
		t.Fatalf("a new store has the floor %d", s.Floor())
	}
	must(t, s.RaiseFloor(7))
	must(t, s.RaiseFloor(5))
	if s.Floor() != 7 {
		t.Fatalf("floor %d after 7 and 5", s.Floor())
	}
	crash(t, s)
	s = openStore(t, dir)
	if s.Floor() != 7 {
		t.Fatalf("floor %d after a crash", s.Floor())
	}
}
