package placement

import (
	"bytes"
	"fmt"
	"testing"
)

// newer is a command of a release to come.
type newer struct{ DeleteTopic }

func (newer) Level() int { return Level + 1 }

func TestAStateCarriesTheLevelOfWhatMadeIt(t *testing.T) {
	if LevelOf(DeleteTopic{}) != 1 || LevelOf(newer{}) != Level+1 {
		t.Fatalf("levels %d and %d", LevelOf(DeleteTopic{}), LevelOf(newer{}))
	}
	s := founded(t, 1)
	if s.Level() != 1 {
		t.Fatalf("a state made by commands of level 1 has level %d", s.Level())
	}
	b, err := s.Marshal()
	if err != nil || !bytes.HasPrefix(b, []byte(`{"format":1,`)) {
		t.Fatalf("%.40s, %v: the first release could not read it", b, err)
	}
	if s, err = Unmarshal(b); err != nil || s.Level() != 1 {
		t.Fatalf("it came back with level %d, %v", s.Level(), err)
	}
	set, _ := mustApply(t, s, AlterSettings{Set: map[string]string{"a": "1"}})
	b, err = set.Marshal()
	if set.Level() != 2 || s.Level() != 1 || err != nil || !bytes.HasPrefix(b, []byte(`{"format":2,`)) {
		t.Fatalf("level %d, %.40s, %v: a command of level 2 made it", set.Level(), b, err)
	}
	for c, v := range map[string]Command{`{"v":1,`: DeleteTopic{Name: "t"}, `{"v":2,`: AlterSettings{}} {
		if b, err := Encode(v); err != nil || !bytes.HasPrefix(b, []byte(c)) {
			t.Fatalf("%.40s, %v: want %s", b, err, c)
		}
	}
	s.level = Level + 1
	later, _ := mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1}}})
	b, err = later.Marshal()
	if err != nil || !bytes.HasPrefix(b, fmt.Appendf(nil, `{"format":%d,`, Level+1)) {
		t.Fatalf("%.40s, %v: a command of level 1 must not take the level back", b, err)
	}
	if _, err := Unmarshal(b); err == nil {
		t.Fatal("a state of a level above this release's was read")
	}
}
