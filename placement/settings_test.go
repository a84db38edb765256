package placement

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSettingsAreAlteredOneByOne(t *testing.T) {
	s := founded(t, 3)
	for i, x := range []struct {
		c    AlterSettings
		want []Change
		all  map[string]string
		own  map[int32]map[string]string
	}{
		{AlterSettings{Set: map[string]string{"a": "1", "b": "1"}}, []Change{{"a", "", "1"}, {"b", "", "1"}}, map[string]string{"a": "1", "b": "1"}, nil},
		{AlterSettings{Set: map[string]string{"b": "2"}, Unset: []string{"none"}}, []Change{{"b", "1", "2"}}, map[string]string{"a": "1", "b": "2"}, nil},
		{AlterSettings{Set: map[string]string{"b": "2"}}, nil, map[string]string{"a": "1", "b": "2"}, nil},
		{AlterSettings{Broker: 2, Set: map[string]string{"b": "3"}}, []Change{{"b", "", "3"}}, map[string]string{"a": "1", "b": "2"}, map[int32]map[string]string{2: {"b": "3"}}},
		{AlterSettings{Unset: []string{"a", "b"}}, []Change{{"a", "1", ""}, {"b", "2", ""}}, nil, map[int32]map[string]string{2: {"b": "3"}}},
		{AlterSettings{Broker: 2, Unset: []string{"b"}}, []Change{{"b", "3", ""}}, nil, nil},
	} {
		before := marshal(t, s)
		next, r := mustApply(t, s, x.c)
		if marshal(t, s) != before {
			t.Fatalf("%d: the state that was given changed", i)
		}
		if changed := uint64(min(len(x.want), 1)); next.Revision != s.Revision+changed || r.Changed != (changed == 1) {
			t.Errorf("%d: revision %d after %d, changed %v", i, next.Revision, s.Revision, r.Changed)
		}
		s = next
		if !slices.Equal(r.Changes, x.want) || !maps.Equal(s.Settings, x.all) || !reflect.DeepEqual(s.BrokerSettings, x.own) {
			t.Errorf("%d: %v, %v, %v", i, r.Changes, s.Settings, s.BrokerSettings)
		}
	}
}

func TestSettingsOfNoBrokerAndTooManyAreRefused(t *testing.T) {
	s := founded(t, 1)
	_, _, err := Apply(s, AlterSettings{Broker: 7, Set: map[string]string{"a": "1"}})
	wantCode(t, err, CodeUnknownBroker)
	_, _, err = Apply(s, AlterSettings{Set: map[string]string{"": "1"}})
	wantCode(t, err, CodeInvalid)
	_, _, err = Apply(s, AlterSettings{Set: map[string]string{"a": strings.Repeat("1", MaxConfigBytes)}})
	wantCode(t, err, CodeInvalid)
	many := map[string]string{}
	for i := range MaxConfigEntries {
		many[fmt.Sprint(i)] = "1"
	}
	s, _ = mustApply(t, s, AlterSettings{Set: many})
	_, _, err = Apply(s, AlterSettings{Set: map[string]string{"one more": "1"}})
	wantCode(t, err, CodeInvalid)
}

func TestABrokersSettingsGoWithIt(t *testing.T) {
	s := founded(t, 3)
	s, _ = mustApply(t, s, AlterSettings{Broker: 2, Set: map[string]string{"a": "1"}})
	s, _ = mustApply(t, s, AlterSettings{Broker: 3, Set: map[string]string{"a": "2"}})
	s, _ = mustApply(t, s, RemoveBroker{Broker: 2})
	if want := map[int32]map[string]string{3: {"a": "2"}}; !reflect.DeepEqual(s.BrokerSettings, want) {
		t.Errorf("left is %v", s.BrokerSettings)
	}
	s, _ = mustApply(t, s, RegisterBroker{Broker: Registration{Incarnation: "inc-3", ClientAddr: "new:1", PeerAddr: "new:2"}})
	if s.BrokerSettings[3]["a"] != "2" {
		t.Error("a broker with other addresses lost its settings")
	}
}

// A release that knows no settings reads format 1 only: it would drop them without a word, and its checkpoint would be another state than that of
// all other brokers. Where they are gone again the log may still hold the commands.
func TestAStateWithSettingsHasAFormatThatOlderReleasesRefuse(t *testing.T) {
	s := founded(t, 1)
	set, _ := mustApply(t, s, AlterSettings{Set: map[string]string{"a": "1"}})
	own, _ := mustApply(t, s, AlterSettings{Broker: 1, Set: map[string]string{"a": "1"}})
	none, _ := mustApply(t, set, AlterSettings{Unset: []string{"a"}})
	for state, format := range map[*State]string{s: `{"format":1,`, set: `{"format":2,`, own: `{"format":2,`, none: `{"format":2,`} {
		b := marshal(t, state)
		if !strings.HasPrefix(b, format) {
			t.Errorf("%.40s, want %s", b, format)
		}
		again, err := Unmarshal([]byte(b))
		if err != nil || !reflect.DeepEqual(again, state) {
			t.Errorf("%s is read as %+v: %v", b, again, err)
		}
	}
	if _, err := Unmarshal([]byte(fmt.Sprintf(`{"format":%d,"state":{}}`, Level+1))); err == nil {
		t.Error("a newer format was read")
	}
}

func TestAlterationsOfTopicsTellWhatChanged(t *testing.T) {
	s := founded(t, 3)
	s, _ = mustApply(t, s, CreateTopic{Name: "t", Config: map[string]string{"retention.ms": "5"}, Brokers: [][]int32{{1, 2}}})
	for _, x := range []struct {
		c    Command
		want []Change
	}{
		{AlterTopicConfig{Name: "t", Set: map[string]string{"retention.ms": "6"}, By: "somebody"}, []Change{{"retention.ms", "5", "6"}}},
		{AlterTopicConfig{Name: "t", Unset: []string{"retention.ms"}}, []Change{{"retention.ms", "6", ""}}},
		{AddPartitions{Topic: "t", From: 1, Brokers: [][]int32{{2, 3}}}, []Change{{"partitions", "1", "2"}}},
		{SetReplicationFactor{Topic: "t", RF: 3}, []Change{{"replication factor", "2", "3"}}},
		{SetReplicationFactor{Topic: "t", RF: 3}, nil},
	} {
		next, r := mustApply(t, s, x.c)
		if s = next; !slices.Equal(r.Changes, x.want) {
			t.Errorf("%+v: %v, want %v", x.c, r.Changes, x.want)
		}
	}
}
