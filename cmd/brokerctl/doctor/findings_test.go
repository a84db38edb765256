package doctor

import (
	"strings"
	"testing"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// wellOff is a cluster of three that nothing is wrong with.
func wellOff() *facts {
	f := &facts{status: &runnelv1.ClusterStatusResponse{ClusterId: "c", ControllerId: 1}, plan: &runnelv1.PlanResponse{}, apart: 5 * time.Second}
	for _, name := range []string{"broker 1", "broker 2", "broker 3"} {
		f.brokers = append(f.brokers, &brokerFacts{
			name: name, alive: true, version: "v1", asked: time.Unix(1_800_000_000, 0), clock: &offset{wrong: time.Second},
			metrics: parseMetrics([]byte("process_max_fds 1048576\nprocess_open_fds 10\nrunnel_broker_disk_free_bytes 1e12\nrunnel_broker_disk_full 0\n" +
				"runnel_broker_disk_total_bytes 2e12\nrunnel_broker_disk_reserve_bytes 1e9\n" +
				`runnel_tls_certificate_not_after_seconds{use="client"} 1.9e9` + "\n")),
		})
	}
	return f
}

func move(phase, waiting string, done int64) []*runnelv1.MoveDescription {
	return []*runnelv1.MoveDescription{{Id: 4, Topic: "t", Partition: 2, Phase: phase, Waiting: waiting, BytesDone: done}}
}

// TestEachFindingHasItsCause breaks one thing at a time; with none broken nothing is found.
func TestEachFindingHasItsCause(t *testing.T) {
	set := func(b *brokerFacts, line string) {
		name, _, _ := strings.Cut(line, " ")
		name, _, _ = strings.Cut(name, "{")
		b.metrics.samples[name] = parseMetrics([]byte(line)).samples[name]
	}
	problem := []*runnelv1.PartitionProblem{{Topic: "t", Partition: 2, Reason: "broker 3 is down"}}
	for want, c := range map[string]struct {
		bad  bool
		edit func(*facts)
	}{
		"no controller is known":              {true, func(f *facts) { f.status.ControllerId = 0 }},
		"does not tell of moves":              {true, func(f *facts) { f.status.PlacementUnknown = "no answer" }},
		"1 partition without a leader":        {true, func(f *facts) { f.status.Leaderless = problem }},
		"fewer replicas in step":              {false, func(f *facts) { f.status.UnderReplicated = problem }},
		"not heard by the others: broker 2":   {true, func(f *facts) { f.brokers[1].alive = false }},
		"broker 2 gives no metrics":           {false, func(f *facts) { f.brokers[1].httpErr = errNoAddress }},
		"1 replicas stopped since their disk": {true, func(f *facts) { f.plan.Quarantined = []*runnelv1.QuarantinedReplica{{Topic: "t"}} }},
		"broker 3 refuses records: its disk has 95": {true, func(f *facts) {
			set(f.brokers[2], "runnel_broker_disk_full 1")
			set(f.brokers[2], "runnel_broker_disk_free_bytes 1e8")
		}},
		"broker 3: its disk has 93.1 GiB free": {false, func(f *facts) { set(f.brokers[2], "runnel_broker_disk_free_bytes 1e11") }},
		"broker 1 is about to end: meta.db":    {true, func(f *facts) { f.brokers[0].healthy = "meta.db" }},
		"broker 1 is not ready: opening":       {false, func(f *facts) { f.brokers[0].ready = "opening" }},
		"1 changes should be made and cannot be": {false, func(f *facts) {
			f.status.Blocked = []*runnelv1.BlockedChange{{Topic: "t", Reason: "no broker is left"}}
		}},
		"1 moves stood still for 5s: t/2": {false, func(f *facts) { f.before, f.after = move("learner", "broker 3", 5), move("learner", "broker 3", 5) }},
		"2 defects were met":              {true, func(f *facts) { set(f.brokers[0], "runnel_broker_panics_total 2") }},
		"brokers run different versions: broker 1; broker 3 runs v1; broker 2 runs v2": {false, func(f *facts) { f.brokers[1].version = "v2" }},
		"that of broker 3 is 10s ahead":            {false, func(f *facts) { f.brokers[2].clock.ahead = 10 * time.Second }},
		"this machine's clock":                     {false, func(f *facts) { ahead(f, time.Minute) }},
		"broker 1 has 900 of 1000 files":           {true, func(f *facts) { set(f.brokers[0], "process_max_fds 1000"); set(f.brokers[0], "process_open_fds 900") }},
		"1024 open files are allowed to broker 1:": {false, func(f *facts) { set(f.brokers[0], "process_max_fds 1024") }},
		"its certificate (peer) ends in":           {false, func(f *facts) { set(f.brokers[0], `runnel_tls_certificate_not_after_seconds{use="peer"} 1.8000864e9`) }},
		"its certificate (peer) ended":             {true, func(f *facts) { set(f.brokers[0], `runnel_tls_certificate_not_after_seconds{use="peer"} 1.7e9`) }},
		"1 partition have fewer replicas than": {false, func(f *facts) {
			f.topics = []*runnelv1.TopicSummary{{Name: "t", ReplicationFactor: 3}}
			f.described = []*runnelv1.DescribeTopicResponse{{Name: "t", Partitions: []*runnelv1.PartitionDescription{{Replicas: []int32{1}}, {Replicas: []int32{1, 2, 3}}}}}
		}},
		"1 topics have one replica": {false, func(f *facts) { f.topics = []*runnelv1.TopicSummary{{Name: "t", ReplicationFactor: 1}} }},
	} {
		f := wellOff()
		if found := judge(f); len(found) != 0 {
			t.Fatalf("something is found where nothing is: %+v", found)
		}
		c.edit(f)
		found := judge(f)
		if len(found) != 1 || !strings.Contains(found[0].What, want) || found[0].Bad != c.bad || found[0].Do == "" {
			t.Errorf("want %q, bad %v; found %+v", want, c.bad, found)
		}
	}
}

func ahead(f *facts, d time.Duration) {
	for _, b := range f.brokers {
		b.clock.ahead = d
	}
}

// TestWhatGoesOnIsNotCalledStuck moves on, or is not waiting, or was looked at too shortly.
func TestWhatGoesOnIsNotCalledStuck(t *testing.T) {
	for name, edit := range map[string]func(*facts){
		"bytes came":  func(f *facts) { f.before, f.after = move("installing", "x", 5), move("installing", "x", 6) },
		"phase":       func(f *facts) { f.before, f.after = move("installing", "x", 5), move("learner", "x", 5) },
		"not waiting": func(f *facts) { f.before, f.after = move("learner", "", 5), move("learner", "", 5) },
		"a new one":   func(f *facts) { f.after = move("learner", "x", 5) },
		"a short look": func(f *facts) {
			f.before, f.after, f.apart = move("learner", "x", 5), move("learner", "x", 5), time.Second
		},
	} {
		f := wellOff()
		edit(f)
		if found := judge(f); len(found) != 0 {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestBadFindingsComeFirst(t *testing.T) {
	f := wellOff()
	f.brokers[1].version = "v2"
	f.brokers[0].healthy = "the disk is gone"
	found := judge(f)
	if len(found) != 2 || !found[0].Bad || found[1].Bad {
		t.Errorf("%+v", found)
	}
}

func TestSamplesAreRead(t *testing.T) {
	m := parseMetrics([]byte("# HELP a b\na{x=\"1 2\",use=\"peer\"} 3\na 4\nbroken\nb NaN\nlast{"))
	if n, ok := m.sum("a"); !ok || n != 7 || m.samples["a"][0].label("use") != "peer" || m.samples["a"][0].label("x") != "1 2" {
		t.Errorf("%+v", m)
	}
	if _, ok := m.sum("c"); ok {
		t.Error("c is there")
	}
}
