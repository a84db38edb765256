package agent

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/placement"
)

// hearsAll is a host that hears everybody and leads the controller group.
type hearsAll struct{ host }

func (hearsAll) Alive(int32) bool                    { return true }
func (hearsAll) Leader(uint64) (int32, uint64, bool) { return 1, 1, true }

// crowded is a collector over so many topics with so many partitions each, all led here.
func crowded(topics, partitions int, s Series) *collector {
	m := partition.NewMetrics(nil)
	a := &Agent{cfg: Config{BrokerID: 1, Metrics: m}, host: hearsAll{}}
	state := placement.New()
	state.Brokers[1] = &placement.Broker{ID: 1, ClientAddr: "broker-1.example.com:7070"}
	group := uint64(1)
	for i := range topics {
		t := &placement.Topic{Name: fmt.Sprintf("a-topic-of-the-usual-length-%04d", i)}
		for n := range partitions {
			group++
			t.Partitions = append(t.Partitions, placement.Partition{Group: group, Replicas: []placement.Replica{{ID: group, Broker: 1}, {ID: group + 1e6, Broker: 2}, {ID: group + 2e6, Broker: 3}}})
			p := partition.New(partition.Config{Env: &env.Env{}, Topic: t.Name, Number: int32(n), Metrics: m})
			a.running.Store(group, &live{replica: &replica{topic: t.Name, number: int32(n), group: group}, partition: p})
		}
		state.Topics[t.Name] = t
	}
	a.latest.Store(state)
	c := newCollector(a, s)
	c.seen = func() []sight {
		seen := a.seen()
		for i := range seen { // as if a day's records were there
			x := &seen[i]
			x.leading, x.inSync = true, 3
			x.status.HW, x.status.LogStart, x.status.Bytes, x.status.Segments, x.status.Term = 123456789+int64(i), 23456789, 98765432109, 412, 17
		}
		return seen
	}
	return c
}

// scraped answers how many bytes a scrape has, and how long it takes, by the best of a few.
func scraped(t *testing.T, c prometheus.Collector) (bytes, zipped int, took time.Duration) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	h := promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	ask := func(encoding string) (int, time.Duration) {
		r, w := httptest.NewRequest(http.MethodGet, "/metrics", nil), httptest.NewRecorder()
		r.Header.Set("Accept-Encoding", encoding)
		began := processorTime(t)
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		return w.Body.Len(), processorTime(t) - began
	}
	took = time.Hour
	for range 5 {
		n, d := ask("identity")
		bytes, took = n, min(took, d)
	}
	zipped, _ = ask("gzip")
	return bytes, zipped, took
}

// processorTime is what this process has used. Unlike time it does not go on while others have the processors.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The bound that operators are promised: a broker with 3,000 partitions answers a scrape in 1 MiB and 100 ms.
func TestAScrapeOf3000PartitionsIsSmall(t *testing.T) {
	for _, of := range []struct {
		what               string
		topics, partitions int
		series             Series
		bounded            bool
	}{
		{"10 topics", 10, 300, Series{}, true},
		{"1,000 topics", 1000, 3, Series{}, true},
		{"3,000 topics, of which 2,000 are folded", 3000, 1, Series{}, true},
		{"10 topics, with metrics.partitions", 10, 300, Series{Partitions: true}, false},
		{"10 topics, with metrics.partitions and metrics.kafka.names", 10, 300, Series{Partitions: true, Kafka: true}, false},
	} {
		bytes, zipped, took := scraped(t, crowded(of.topics, of.partitions, of.series))
		t.Logf("3,000 partitions in %s: %d KiB (%d KiB zipped) in %s", of.what, bytes>>10, zipped>>10, took.Round(time.Millisecond))
		slow := took > 100*time.Millisecond && !raceEnabled // the race detector takes ten times as long
		if of.bounded && (bytes > 1<<20 || slow) {
			t.Errorf("3,000 partitions in %s: %d bytes in %s, bound are 1 MiB and 100 ms of processors", of.what, bytes, took)
		}
		if bytes > 8<<20 {
			t.Errorf("%d bytes: more than is stated", bytes)
		}
	}
}

func TestSeriesOfADeletedTopicAndOfItsSuccessor(t *testing.T) {
	c := crowded(1, 1, Series{Partitions: true, Kafka: true})
	a := c.a
	// Another topic of the name is there already, and the old one's replica is being stopped.
	for _, top := range a.latest.Load().Topics {
		top.Partitions[0].Group++
		a.running.Store(top.Partitions[0].Group, &live{
			replica:   &replica{topic: top.Name, group: top.Partitions[0].Group},
			partition: partition.New(partition.Config{Env: &env.Env{}, Topic: top.Name, Metrics: a.cfg.Metrics}),
		})
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	if _, err := reg.Gather(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"runnel_partition_bytes": 1, "kafka_topic_partition_leader": 1, "runnel_topic_replicas": 1} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != want {
			t.Errorf("%d series of %s, want %d (%v)", n, name, want, err)
		}
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestUnderReplicatedMeansAReplicaThatLacksSomething(t *testing.T) {
	c := crowded(1, 3, Series{})
	full := c.seen
	c.seen = func() []sight {
		seen := full()
		seen[0].inSync = 2
		seen[1].leading = false // another broker leads it, and tells
		seen[1].inSync = 0
		return seen
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	want := strings.NewReader(`
		# HELP runnel_topic_under_replicated_partitions Of the partitions that this broker leads, those with a replica that lacks records or is on a broker that is not heard, by topic.
		# TYPE runnel_topic_under_replicated_partitions gauge
		runnel_topic_under_replicated_partitions{topic="a-topic-of-the-usual-length-0000"} 1
	`)
	if err := testutil.GatherAndCompare(reg, want, "runnel_topic_under_replicated_partitions"); err != nil {
		t.Error(err)
	}
}
