package plan

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/placement"
)

// cluster makes a founded state of n brokers; rack tells each broker's rack.
func cluster(t interface{ Fatal(...any) }, n int, rack func(i int) string) (*placement.State, map[int32]bool) {
	s := placement.New()
	alive := map[int32]bool{}
	for i := range n {
		reg := placement.Registration{Incarnation: fmt.Sprintf("inc-%d", i), PeerAddr: fmt.Sprintf("b%d:1", i), Rack: rack(i)}
		var c placement.Command = placement.RegisterBroker{Broker: reg}
		if i == 0 {
			c = placement.FoundCluster{ClusterID: "c", Broker: reg}
		}
		next, r, err := placement.Apply(s, c)
		if err != nil {
			t.Fatal(err)
		}
		s = next
		alive[r.Broker] = true
	}
	return s, alive
}

func noRack(int) string { return "" }

func create(t interface{ Fatal(...any) }, s *placement.State, name string, a Assignment) *placement.State {
	next, _, err := placement.Apply(s, placement.CreateTopic{Name: name, Brokers: a.Brokers})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func counts(a Assignment) (replicas, leaders map[int32]int) {
	replicas, leaders = map[int32]int{}, map[int32]int{}
	for _, bs := range a.Brokers {
		leaders[bs[0]]++
		for _, b := range bs {
			replicas[b]++
		}
	}
	return replicas, leaders
}

func spread(m map[int32]int, alive map[int32]bool) int {
	lo, hi := 1<<30, 0
	for b := range alive {
		lo, hi = min(lo, m[b]), max(hi, m[b])
	}
	return hi - lo
}

func TestPlansAreEvenAndNeverShareABroker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "brokers")
		s, alive := cluster(t, n, noRack)
		for _, id := range s.BrokerIDs() {
			if len(alive) > 1 && rapid.IntRange(0, 4).Draw(t, "dead") == 0 {
				delete(alive, id)
			}
		}
		for i := range rapid.IntRange(1, 4).Draw(t, "topics") {
			name := fmt.Sprintf("t%d", i)
			parts := rapid.IntRange(1, 60).Draw(t, "partitions")
			rf := rapid.IntRange(1, len(alive)).Draw(t, "rf")
			a, err := Topic(s, alive, name, parts, rf)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Topic(s, alive, name, parts, rf)
			if err != nil || !reflect.DeepEqual(a, again) {
				t.Fatalf("the same input gave another plan: %v", err)
			}
			for _, bs := range a.Brokers {
				seen := map[int32]bool{}
				for _, b := range bs {
					if seen[b] || !alive[b] {
						t.Fatalf("broker %d twice or dead in %v", b, bs)
					}
					seen[b] = true
				}
			}
			if len(a.Reasons) == 0 {
				t.Fatal("the plan has no reasons")
			}
			replicas, leaders := counts(a)
			if d := spread(replicas, alive); d > 1 {
				t.Fatalf("replicas of the topic differ by %d: %v", d, replicas)
			}
			if d := spread(leaders, alive); d > 1 {
				t.Fatalf("leaders of the topic differ by %d: %v", d, leaders)
			}
			s = create(t, s, name, a)
		}
	})
}

func TestManySmallTopicsSpreadOverTheCluster(t *testing.T) {
	s, alive := cluster(t, 5, noRack)
	replicas, leaders := map[int32]int{}, map[int32]int{}
	for i := range 100 {
		name := fmt.Sprintf("small-%d", i)
		a, err := Topic(s, alive, name, 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		s = create(t, s, name, a)
		r, l := counts(a)
		for b, n := range r {
			replicas[b] += n
		}
		for b, n := range l {
			leaders[b] += n
		}
	}
	if d := spread(replicas, alive); d > 1 {
		t.Errorf("replicas of all topics differ by %d: %v", d, replicas)
	}
	if d := spread(leaders, alive); d > 2 {
		t.Errorf("leaders of all topics differ by %d: %v", d, leaders)
	}
}

func TestRacksComeFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		racks := rapid.IntRange(2, 4).Draw(t, "racks")
		n := rapid.IntRange(racks, 12).Draw(t, "brokers")
		rackOf := map[int32]string{}
		s, alive := cluster(t, n, func(i int) string {
			r := fmt.Sprintf("r%d", i)
			if i >= racks { // the first brokers make sure that each rack has one
				r = fmt.Sprintf("r%d", rapid.IntRange(0, racks-1).Draw(t, "rack"))
			}
			rackOf[int32(i+1)] = r
			return r
		})
		rf := rapid.IntRange(1, n).Draw(t, "rf")
		a, err := Topic(s, alive, "t", rapid.IntRange(1, 40).Draw(t, "partitions"), rf)
		if err != nil {
			t.Fatal(err)
		}
		for _, bs := range a.Brokers {
			in := map[string]bool{}
			for _, b := range bs {
				in[rackOf[b]] = true
			}
			if len(in) != min(rf, racks) {
				t.Fatalf("%v is in %d racks, want %d", bs, len(in), min(rf, racks))
			}
		}
	})
}

func TestTooFewBrokersAliveIsRefusedWithNumbers(t *testing.T) {
	s, alive := cluster(t, 3, noRack)
	delete(alive, 2)
	_, err := Topic(s, alive, "t", 1, 3)
	var e *placement.Error
	if !errors.As(err, &e) || e.Code != placement.CodeNotEnoughBrokers {
		t.Fatalf("got %v, want %s", err, placement.CodeNotEnoughBrokers)
	}
	for _, part := range []string{"2 of 3", "1, 3", "at most 2"} {
		if !strings.Contains(e.Msg, part) {
			t.Errorf("the message lacks %q: %s", part, e.Msg)
		}
	}
}

func TestBadShapesAreRefused(t *testing.T) {
	s, alive := cluster(t, 3, noRack)
	for _, c := range []struct {
		name      string
		parts, rf int
		code      placement.Code
	}{
		{"bad/name", 1, 1, placement.CodeInvalid},
		{"t", 0, 1, placement.CodeInvalid},
		{"t", placement.MaxPartitions + 1, 1, placement.CodeInvalid},
		{"t", 1, 0, placement.CodeInvalid},
		{"t", 1, placement.MaxReplicationFactor + 1, placement.CodeInvalid},
	} {
		_, err := Topic(s, alive, c.name, c.parts, c.rf)
		var e *placement.Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	full := *s
	full.Replicas = placement.MaxReplicas
	_, err := Topic(&full, alive, "t", 1, 1)
	var e *placement.Error
	if !errors.As(err, &e) || e.Code != placement.CodeLimit {
		t.Errorf("a full cluster answered %v", err)
	}
}

func BenchmarkTopic5000(b *testing.B) {
	s, alive := cluster(b, 30, noRack)
	for b.Loop() {
		if _, err := Topic(s, alive, "big", 5000, 3); err != nil {
			b.Fatal(err)
		}
	}
}
