package multiraft

import "testing"

func TestGroupTableKeepsTheOrderOfIDs(t *testing.T) {
	var tab groupTable
	want := func(ids ...uint64) {
		t.Helper()
		all := tab.all()
		if len(all) != len(ids) {
			t.Fatalf("%d groups, want %v", len(all), ids)
		}
		for i, g := range all {
			if g.id != ids[i] {
				t.Fatalf("group %d at %d, want %v", g.id, i, ids)
			}
		}
	}
	for _, id := range []uint64{5, 1, 9, 3} {
		if !tab.add(&Group{id: id}) {
			t.Fatalf("group %d was not taken", id)
		}
		tab.all() // what was made must not outlive the next change
	}
	want(1, 3, 5, 9)
	before := tab.all()
	if tab.add(&Group{id: 5}) {
		t.Error("an id was taken twice")
	}
	if tab.remove(3) == nil || tab.remove(3) != nil || tab.remove(4) != nil {
		t.Error("remove did not give group 3 once and nothing else")
	}
	want(1, 5, 9)
	if before[1].id != 3 || before[3].id != 9 {
		t.Error("a list that was given away changed")
	}
	if got := tab.close(); len(got) != 3 {
		t.Errorf("close gave %d groups, want 3", len(got))
	}
	if tab.add(&Group{id: 7}) || tab.remove(5) != nil || tab.get(5) == nil {
		t.Error("a closed table changed, or lost its groups")
	}
	tab.clear()
	want()
	if tab.get(5) != nil || tab.add(&Group{id: 5}) {
		t.Error("a cleared table has a group or takes one")
	}
}
