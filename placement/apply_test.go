package placement

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// fataler is a test of package testing or rapid.
type fataler interface{ Fatalf(string, ...any) }

func mustApply(t fataler, s *State, c Command) (*State, Result) {
	n, r, err := Apply(s, c)
	if err != nil {
		t.Fatalf("%T: %v", c, err)
	}
	return n, r
}

func wantCode(t *testing.T, err error, code Code) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want code %s", err, code)
	}
	if e.Msg == "" {
		t.Fatal("the error has no message")
	}
}

// founded is a cluster of n brokers.
func founded(t fataler, n int) *State {
	s, _ := mustApply(t, New(), FoundCluster{ClusterID: "c1", Broker: reg(1)})
	for i := 2; i <= n; i++ {
		s, _ = mustApply(t, s, RegisterBroker{Broker: reg(i)})
	}
	return s
}

func reg(i int) Registration {
	return Registration{Incarnation: fmt.Sprintf("inc-%d", i), PeerAddr: fmt.Sprintf("b%d:7001", i), ClientAddr: fmt.Sprintf("b%d:7000", i)}
}

// drawCommand draws a command that is often, but not always, acceptable.
func drawCommand(t *rapid.T, s *State) Command {
	broker := rapid.Int32Range(0, 6)
	name := rapid.SampledFrom([]string{"a", "b", "c", "bad name", ".."})
	config := rapid.MapOfN(rapid.SampledFrom([]string{"retention.ms", "segment.bytes"}), rapid.StringMatching(`[0-9]{0,3}`), 0, 2)
	if rapid.IntRange(0, 2).Draw(t, "moves") > 0 {
		if c := drawMoveCommand(t, s); c != nil {
			return c
		}
	}
	if rapid.IntRange(0, 7).Draw(t, "settings") == 0 {
		return AlterSettings{Broker: broker.Draw(t, "broker"), Set: config.Draw(t, "set"), Unset: slices.Collect(maps.Keys(config.Draw(t, "unset")))}
	}
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return FoundCluster{ClusterID: rapid.SampledFrom([]string{"c1", "c2"}).Draw(t, "cluster"), Broker: reg(1)}
	case 1, 2:
		b := reg(rapid.IntRange(1, 6).Draw(t, "inc"))
		b.ID = rapid.SampledFrom([]int32{0, 0, 0, 1, 2, 9}).Draw(t, "id")
		b.Rack = rapid.SampledFrom([]string{"", "r1"}).Draw(t, "rack")
		return RegisterBroker{Broker: b}
	case 3, 4:
		return CreateTopic{
			Name: name.Draw(t, "name"), RequestID: rapid.SampledFrom([]string{"", "q1", "q2", "q3"}).Draw(t, "request"), Config: config.Draw(t, "config"),
			Brokers: rapid.SliceOfN(rapid.SliceOfNDistinct(broker, 2, 2, rapid.ID[int32]), 0, 4).Draw(t, "brokers"),
		}
	case 5:
		return DeleteTopic{Name: name.Draw(t, "name"), ID: rapid.Uint64Range(0, 2).Draw(t, "id")}
	case 6:
		if rapid.Bool().Draw(t, "alters") {
			return AlterTopicConfig{Name: name.Draw(t, "name"), Set: config.Draw(t, "config"), Unset: slices.Collect(maps.Keys(config.Draw(t, "unset")))}
		}
		return SetTopicConfig{Name: name.Draw(t, "name"), Config: config.Draw(t, "config")}
	case 7:
		return AllocateProducers{Broker: broker.Draw(t, "broker"), Count: rapid.Int64Range(-1, 2000).Draw(t, "count")}
	case 8:
		var ids []uint64
		for id := range s.Tombstones {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		if len(ids) > 0 {
			ids = ids[:rapid.IntRange(0, len(ids)).Draw(t, "forgotten")]
		}
		return ForgetReplicas{Broker: broker.Draw(t, "broker"), Replicas: ids}
	default:
		return SetControllerReplica{Replica: rapid.Uint64Range(0, 6).Draw(t, "replica"), Learner: rapid.Bool().Draw(t, "learner")}
	}
}

func TestApplyKeepsTheInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		seen := usedIDs{}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			c := drawCommand(t, s)
			before := marshal(t, s)

			// The log holds the encoded command, so that is what is folded.
			enc, err := Encode(c)
			if err != nil {
				t.Fatal(err)
			}
			dec, err := Decode(enc)
			if err != nil {
				t.Fatal(err)
			}
			next, res, err := Apply(s, dec)
			again, resAgain, errAgain := Apply(s, dec)
			if fmt.Sprint(err) != fmt.Sprint(errAgain) || marshal(t, next) != marshal(t, again) || !reflect.DeepEqual(res, resAgain) {
				t.Fatalf("%T gave two results on one state", c)
			}
			if marshal(t, s) != before {
				t.Fatalf("%T changed its input", c)
			}
			switch {
			case err != nil:
				var e *Error
				if next != s || !errors.As(err, &e) {
					t.Fatalf("%T: refused with %T, state kept %v", c, err, next == s)
				}
			case res.Changed:
				if next.Revision != s.Revision+1 {
					t.Fatalf("%T: revision went from %d to %d", c, s.Revision, next.Revision)
				}
			default:
				if next != s {
					t.Fatalf("%T changed nothing and made another state", c)
				}
			}
			back, err := Unmarshal([]byte(marshal(t, next)))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, next) {
				t.Fatalf("%T: the state does not survive encoding", c)
			}
			check(t, next, seen)
			checkStep(t, s, next, dec)
			s = next
		}
	})
}

func marshal(t fataler, s *State) string {
	b, err := s.Marshal()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(b)
}

// usedIDs remembers what each id was first given to.
type usedIDs map[string]string

func (u usedIDs) use(t fataler, id, owner string) {
	if old, ok := u[id]; ok && old != owner {
		t.Fatalf("%s was given to %s and to %s", id, old, owner)
	}
	u[id] = owner
}

func check(t fataler, s *State, used usedIDs) {
	replicas := 0
	for name, topic := range s.Topics {
		if topic.Name != name || topic.ID >= s.NextTopic || ValidateName(name) != nil {
			t.Fatalf("topic %q stands as %+v", name, topic)
		}
		used.use(t, fmt.Sprintf("topic id %d", topic.ID), name)
		for n, p := range topic.Partitions {
			owner := fmt.Sprintf("%d/%d", topic.ID, n)
			if p.Group >= s.NextGroup || p.Group == ControllerGroup {
				t.Fatalf("group %d, next is %d", p.Group, s.NextGroup)
			}
			used.use(t, fmt.Sprintf("group %d", p.Group), owner)
			for _, r := range p.All() {
				replicas++
				if r.ID >= s.NextReplica || s.Tombstones[r.ID] != nil || s.Brokers[r.Broker] == nil {
					t.Fatalf("replica %+v of %s", r, owner)
				}
				used.use(t, fmt.Sprintf("replica %d", r.ID), fmt.Sprintf("%s on %d", owner, r.Broker))
			}
		}
	}
	checkMoves(t, s, used)
	if replicas != s.Replicas {
		t.Fatalf("%d replicas are counted as %d", replicas, s.Replicas)
	}
	for key, owner := range used { // a removed broker that comes back with an empty id is another one
		var id int32
		if _, err := fmt.Sscan(owner, &id); err == nil && strings.HasPrefix(key, "incarnation ") && s.Brokers[id] == nil {
			delete(used, key)
		}
	}
	for id, b := range s.Brokers {
		if b.ID != id || id >= s.NextBroker {
			t.Fatalf("broker %d stands as %+v", id, b)
		}
		used.use(t, "incarnation "+b.Incarnation, fmt.Sprint(id))
		used.use(t, fmt.Sprintf("replica %d", b.ControllerReplica), fmt.Sprintf("controller on %d", id))
		if s.ControllerMembers()[b.ControllerReplica] != id {
			t.Fatalf("broker %d is not in the controller group %v", id, s.Controller)
		}
	}
	if err := validateSettings(s.Settings); err != nil || s.Settings != nil && len(s.Settings) == 0 {
		t.Fatalf("settings %v: %v", s.Settings, err)
	}
	for id, own := range s.BrokerSettings {
		if s.Brokers[id] == nil || len(own) == 0 {
			t.Fatalf("broker %d has settings %v", id, own)
		}
	}
	if len(s.Controller) != len(s.Brokers) {
		t.Fatalf("%d controller replicas for %d brokers", len(s.Controller), len(s.Brokers))
	}
	for id, d := range s.Tombstones {
		if d.Replica != id {
			t.Fatalf("tombstone %d stands as %+v", id, d)
		}
	}
}

func TestEachProducerIDIsGivenOnce(t *testing.T) {
	s := founded(t, 2)
	next := int64(1)
	for i := range 10 {
		var r Result
		s, r = mustApply(t, s, AllocateProducers{Broker: int32(1 + i%2), Count: 1000})
		if r.FirstProducer != next || r.Producers != 1000 {
			t.Fatalf("block %d is %d+%d, want %d+1000", i, r.FirstProducer, r.Producers, next)
		}
		next += 1000
	}
	_, _, err := Apply(s, AllocateProducers{Broker: 9, Count: 1})
	wantCode(t, err, CodeUnknownBroker)
}

func TestRegistrationIsKnownByIncarnation(t *testing.T) {
	s := founded(t, 2)
	same, r := mustApply(t, s, RegisterBroker{Broker: reg(2)})
	if same != s || r.Broker != 2 || r.ControllerReplica != 2 {
		t.Fatalf("asking again gave %+v", r)
	}
	moved := reg(2)
	moved.ID, moved.PeerAddr = 2, "elsewhere:1"
	s, r = mustApply(t, s, RegisterBroker{Broker: moved})
	if !r.Changed || s.Brokers[2].PeerAddr != "elsewhere:1" || s.Brokers[2].ControllerReplica != 2 {
		t.Fatalf("new addresses gave %+v", s.Brokers[2])
	}
	wiped := reg(7)
	wiped.ID = 2
	_, _, err := Apply(s, RegisterBroker{Broker: wiped})
	wantCode(t, err, CodeOtherIncarnation)
	wiped.ID, wiped.PeerAddr = 0, moved.PeerAddr // from where it always came
	s, r = mustApply(t, s, RegisterBroker{Broker: wiped})
	if r.Broker != 3 || r.ControllerReplica != 3 || !s.Controller[2].Learner {
		t.Fatalf("an emptied disk came back as %+v", r)
	}
}

func TestRepeatedCreateFindsItsOwnTopicAndNeverRevivesIt(t *testing.T) {
	s := founded(t, 1)
	create := CreateTopic{Name: "t", RequestID: "q", Brokers: [][]int32{{1}}}
	s, first := mustApply(t, s, create)
	same, again := mustApply(t, s, create)
	if same != s || again.Topic != first.Topic {
		t.Fatal("the repeated request made something")
	}
	other := create
	other.RequestID = "other"
	_, _, err := Apply(s, other)
	wantCode(t, err, CodeTopicExists)
	s, _ = mustApply(t, s, DeleteTopic{Name: "t"})
	_, _, err = Apply(s, create)
	wantCode(t, err, CodeUnknownTopic)
	for i := range MaxRetired + 5 {
		s, _ = mustApply(t, s, CreateTopic{Name: "u", RequestID: fmt.Sprint(i), Brokers: [][]int32{{1}}})
		s, _ = mustApply(t, s, DeleteTopic{Name: "u"})
	}
	if len(s.Retired) != MaxRetired || s.Retired[MaxRetired-1] != fmt.Sprint(MaxRetired+4) {
		t.Fatalf("%d request ids are remembered", len(s.Retired))
	}
}

func TestDeleteWithAnIDSparesALaterTopicOfThatName(t *testing.T) {
	s := founded(t, 1)
	s, r := mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1}}})
	old := r.Topic.ID
	s, _ = mustApply(t, s, DeleteTopic{Name: "t", ID: old})
	s, _ = mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1}}})
	_, _, err := Apply(s, DeleteTopic{Name: "t", ID: old})
	wantCode(t, err, CodeUnknownTopic)
}

// RULES 20: a tombstone stays until every holder answered, and only for itself.
func TestRule20TombstoneStaysUntilItsHolderAnswers(t *testing.T) {
	s := founded(t, 3)
	s, r := mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1, 2, 3}, {2, 3, 1}}})
	s, _ = mustApply(t, s, DeleteTopic{Name: "t"})
	if len(s.Tombstones) != 6 {
		t.Fatalf("%d tombstones, want 6", len(s.Tombstones))
	}
	var all []uint64
	for _, p := range r.Topic.Partitions {
		for _, x := range p.Replicas {
			all = append(all, x.ID)
			if d := s.Tombstones[x.ID]; d.Group != p.Group || d.Broker != x.Broker || d.Revision != s.Revision {
				t.Fatalf("tombstone %+v", d)
			}
		}
	}
	for i, left := range []int{4, 2, 0} {
		s, _ = mustApply(t, s, ForgetReplicas{Broker: int32(i + 1), Replicas: all})
		if len(s.Tombstones) != left {
			t.Fatalf("%d tombstones after broker %d answered, want %d", len(s.Tombstones), i+1, left)
		}
	}
}

func TestUnknownCommandsAreRefusedAlike(t *testing.T) {
	for _, b := range []string{`{"v":1,"type":"paint_it","cmd":{}}`, fmt.Sprintf(`{"v":%d,"type":"delete_topic","cmd":{"name":"t"}}`, Level+1), `{"type":"delete_topic","cmd":{"name":"t"}}`, `nonsense`, `{"v":1,"type":"delete_topic","cmd":[]}`, ``} {
		_, err := Decode([]byte(b))
		wantCode(t, err, CodeUnknownCommand)
	}
	_, _, err := Apply(founded(t, 1), nil)
	wantCode(t, err, CodeUnknownCommand)
	if _, err := Encode(nil); err == nil {
		t.Fatal("nil was encoded")
	}
}

func TestUnmarshalRefusesOtherFormats(t *testing.T) {
	for _, b := range []string{fmt.Sprintf(`{"format":%d,"state":{}}`, Level+1), `{"state":{}}`, `{"format":1,"state":null}`, `[]`, `x`,
		`{"format":1,"state":{"brokers":{"1":null}}}`, `{"format":1,"state":{"topics":{"t":null}}}`, `{"format":1,"state":{"tombstones":{"4":null}}}`} {
		if _, err := Unmarshal([]byte(b)); err == nil {
			t.Errorf("%s was read", b)
		}
	}
	b, err := json.Marshal(map[string]any{"format": 1, "state": map[string]any{"topics": nil}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Unmarshal(b)
	if err != nil || s.Topics == nil || s.Brokers == nil || s.Tombstones == nil {
		t.Fatalf("maps are nil after reading: %v", err)
	}
}

func TestValidateName(t *testing.T) {
	for _, ok := range []string{"a", "A-Z_0.9", "...", strings.Repeat("x", 249)} {
		if err := ValidateName(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a b", "a/b", "ä", "a\x00", strings.Repeat("x", 250)} {
		if ValidateName(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestCreateTopicChecksItsPlan(t *testing.T) {
	s := founded(t, 2)
	many := make([][]int32, MaxPartitions+1)
	for i := range many {
		many[i] = []int32{1}
	}
	for _, c := range []struct {
		brokers [][]int32
		code    Code
	}{
		{nil, CodeInvalid}, {[][]int32{{}}, CodeInvalid}, {[][]int32{{1, 1}}, CodeInvalid}, {[][]int32{{1, 2}, {1}}, CodeInvalid},
		{[][]int32{{3}}, CodeUnknownBroker}, {many, CodeInvalid},
	} {
		_, _, err := Apply(s, CreateTopic{Name: "t", Brokers: c.brokers})
		wantCode(t, err, c.code)
	}
	full := *s
	full.Replicas = MaxReplicas
	_, _, err := Apply(&full, CreateTopic{Name: "t", Brokers: [][]int32{{1}}})
	wantCode(t, err, CodeLimit)
}

// Who alters a setting decides on that one alone. A command of an old log replaces all.
func TestAlteringASettingLeavesTheOthers(t *testing.T) {
	s := founded(t, 1)
	apply := func(c Command) map[string]string {
		t.Helper()
		next, r, err := Apply(s, c)
		if err != nil {
			t.Fatal(err)
		}
		if r.Changed != !maps.Equal(s.Topics["t"].Config, r.Topic.Config) {
			t.Errorf("%+v: changed is %t", c, r.Changed)
		}
		s = next
		return s.Topics["t"].Config
	}
	if s, _, _ = Apply(s, CreateTopic{Name: "t", Config: map[string]string{"a": "1", "b": "1"}, Brokers: [][]int32{{1}}}); s.Topics["t"] == nil {
		t.Fatal("no topic")
	}
	for _, x := range []struct {
		c    Command
		want map[string]string
	}{
		{AlterTopicConfig{Name: "t", Set: map[string]string{"b": "2", "c": "2"}}, map[string]string{"a": "1", "b": "2", "c": "2"}},
		{AlterTopicConfig{Name: "t", Unset: []string{"a", "x"}}, map[string]string{"b": "2", "c": "2"}},
		{AlterTopicConfig{Name: "t"}, map[string]string{"b": "2", "c": "2"}},
		{SetTopicConfig{Name: "t", Config: map[string]string{"a": "4"}}, map[string]string{"a": "4"}},
		{AlterTopicConfig{Name: "t", Unset: []string{"a"}}, nil},
	} {
		if got := apply(x.c); !maps.Equal(got, x.want) || x.want == nil && got != nil {
			t.Errorf("%+v: %v, want %v", x.c, got, x.want)
		}
	}
	many := map[string]string{}
	for i := range MaxConfigEntries {
		many[fmt.Sprint(i)] = ""
	}
	apply(AlterTopicConfig{Name: "t", Set: many})
	if _, _, err := Apply(s, AlterTopicConfig{Name: "t", Set: map[string]string{"one more": ""}}); err == nil {
		t.Error("more settings than a topic can have")
	}
}
