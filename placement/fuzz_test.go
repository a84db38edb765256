package placement

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// FuzzCommands folds a log of commands, one a line, as they come from the controller's log or from another broker. What cannot be read is
// refused as an unknown command; what can be is the same command when it is written again; and whatever is folded, the state keeps
// the invariants of TestApplyKeepsTheInvariants. The same bytes are read as a state too.
func FuzzCommands(f *testing.F) {
	line := func(cs ...Command) (out []byte) {
		for _, c := range cs {
			b, err := Encode(c)
			if err != nil {
				f.Fatal(err)
			}
			out = append(append(out, b...), '\n')
		}
		return out
	}
	create := CreateTopic{Name: "t", RequestID: "r1", Config: map[string]string{"retention.ms": "5"}, Brokers: [][]int32{{1, 2, 3}, {2, 3, 1}}}
	f.Add(line(create, DeleteTopic{Name: "t"}, ForgetReplicas{Broker: 1, Replicas: []uint64{5, 6}}))
	f.Add(line(create, ProposeMove{Topic: "t", AddBrokers: []int32{4}, Removes: []uint64{5}, Kind: KindManual}, AdvanceMove{TopicID: 1, Move: 1, From: PhaseProposed, To: PhaseInstalling},
		CancelMove{TopicID: 1, Move: 1}, EndCancelled{TopicID: 1, Move: 1}))
	f.Add(line(create, AllocateProducers{Broker: 2, Count: 1000}, SetDraining{Broker: 4, Draining: true}, RemoveBroker{Broker: 4}, RegisterBroker{Broker: reg(9)}))
	f.Add(line(create, AddPartitions{Topic: "t", From: 2, Brokers: [][]int32{{3, 4}}}, SetReplicationFactor{Topic: "t", RF: 2}, SetPreferred{TopicID: 1, Order: []uint64{6, 5, 7}},
		RecordRecovery{TopicID: 1, Kept: 5, Lost: []uint64{6, 7}, Note: "by hand"}))
	f.Add(line(AlterSettings{Set: map[string]string{"log.level": "debug", "recovery.parallel": "3"}, By: "127.0.0.1:5"}, AlterSettings{Broker: 2, Set: map[string]string{"log.level": "warn"}},
		AlterSettings{Unset: []string{"log.level"}}, AlterSettings{Broker: 9}, RemoveBroker{Broker: 2}, AlterTopicConfig{Name: "t", By: "x"}))
	f.Add([]byte(`{"v":1,"type":"alter_settings","cmd":{"set":{"":"x"},"unset":[""]}}`))
	f.Add([]byte(`{"format":2,"state":{"settings":{"a":"b"},"broker_settings":{"1":null,"2":{}}}}`))
	f.Add([]byte(`{"v":1,"type":"create_topic","cmd":{"name":"t","brokers":[[1],null]}}`))
	f.Add([]byte(`{"v":1,"type":"propose_moves","cmd":{"moves":[{},{}]}}`))
	s, _ := mustApply(f, founded(f, 3), create)
	f.Add([]byte(marshal(f, s)))
	f.Add([]byte(`{"format":1,"state":{"brokers":{"1":null},"topics":{"t":{"partitions":[{"replicas":null,"move":{}}]}}}}`))
	f.Fuzz(func(t *testing.T, log []byte) {
		readState(t, log)
		s, seen := founded(t, 4), usedIDs{}
		for b := range bytes.SplitSeq(log, []byte("\n")) {
			c, err := Decode(b)
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Code != CodeUnknownCommand {
					t.Fatalf("refused with %T: %v", err, err)
				}
				continue
			}
			written, err := Encode(c)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Decode(written); err != nil || typeOf(again) != typeOf(c) {
				t.Fatalf("%#v is written as %s, which is %#v: %v", c, written, again, err)
			}
			before := marshal(t, s)
			next, res, err := Apply(s, c)
			again, resAgain, _ := Apply(s, c)
			if marshal(t, s) != before || marshal(t, next) != marshal(t, again) || !reflect.DeepEqual(res, resAgain) {
				t.Fatalf("%#v changed its input, or gave two results", c)
			}
			var e *Error
			if err != nil && (next != s || !errors.As(err, &e)) {
				t.Fatalf("%#v: refused with %T, state kept %v", c, err, next == s)
			}
			if _, given := c.(RecoverController); given && err == nil {
				return // brokers without a controller replica are what it leaves
			}
			check(t, next, seen)
			checkStep(t, s, next, c)
			readState(t, []byte(marshal(t, next)))
			s = next
		}
	})
}

// readState reads a checkpoint of the cluster's state: it is refused, or it can be looked at and says the same when it is written again.
func readState(t fataler, b []byte) {
	s, err := Unmarshal(b)
	if err != nil {
		return
	}
	for _, id := range s.BrokerIDs() {
		_ = s.Brokers[id].ID
	}
	for _, name := range s.TopicNames() {
		topic := s.Topics[name]
		_ = topic.ReplicationFactor()
		for n := range topic.Partitions {
			_ = topic.Partitions[n].All()
			_, _ = topic.Partitions[n].Founding()
		}
	}
	_ = s.ControllerMembers()
	once := marshal(t, s)
	again, err := Unmarshal([]byte(once))
	if err != nil {
		t.Fatalf("read once, not twice: %v", err)
	}
	if twice := marshal(t, again); twice != once {
		t.Fatalf("read as %s, then as %s", once, twice)
	}
}
