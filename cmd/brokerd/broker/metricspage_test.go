package broker_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

var rewrite = flag.Bool("rewrite", false, "write generated pages anew")

const metricsPage = "../../../deploy/prometheus/METRICS.md"

// pageHead is what stands above the table. TestAScrapeOf3000PartitionsIsSmall has the figures.
const pageHead = `# The metrics of a broker

Each broker serves its own under /metrics at http.listen, in Prometheus's text format. This page is made from what a running cluster shows
(make metrics-doc); a test fails when it is no longer true. Beside these there are go_* and process_* of Prometheus's own library.

What each broker tells adds up: a partition's figures come from the broker that leads it, a topic's from each broker that holds or leads
some of it, the cluster's from the leader of the controller group. So sum() over the brokers is the cluster.

**How many series.** By default none is by partition, and a broker tells of at most 1,000 topics by name; what is beyond is told as topic "". A
scrape of a broker with 3,000 partitions has 38 KiB in 10 topics and takes 10 ms, 650 KiB and 25 ms in 1,000 topics with names of 32
letters. metrics.partitions adds nine series for each partition led here and three for each replica that is not, metrics.kafka.names seven
for each led here: if all 3,000 are, 2.4 MiB and 0.1 s with the first, 4.4 MiB and 0.2 s with both. Prometheus asks for gzip, and gets 90 and
160 KiB then.

A scrape looks at one replica after the other and holds no lock for longer than one of them takes. At most four are answered at a time, each within 8 seconds.

| Metric | Type | Labels | Unit | What it is |
|---|---|---|---|---|
`

// described is a metric as its description has it.
type described struct{ name, help, labels string }

var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}\}$`)

// describe lists what is registered, by name.
func describe(t *testing.T, reg *prometheus.Registry) []described {
	t.Helper()
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		reg.Describe(descs)
	}()
	byName := map[string]described{}
	for d := range descs {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		var labels []string
		for _, l := range strings.Split(m[3], ",") {
			if name, _, ok := strings.Cut(l, "="); ok {
				labels = append(labels, name)
			}
		}
		if m[4] != "" {
			labels = append(labels, strings.Split(m[4], ",")...)
		}
		var help string
		if _, err := fmt.Sscanf(m[2], "%q", &help); err != nil {
			t.Fatal(err)
		}
		byName[m[1]] = described{name: m[1], help: help, labels: strings.Join(labels, ", ")}
	}
	var out []described
	for _, d := range byName {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b described) int { return strings.Compare(a.name, b.name) })
	return out
}

// unit reads a metric's unit off its name, as Prometheus's conventions have it.
func unit(name string) string {
	name = strings.TrimSuffix(name, "_total")
	for _, u := range []string{"seconds", "bytes"} {
		if strings.HasSuffix(name, "_"+u) {
			return u
		}
	}
	return ""
}

func TestTheMetricsPageIsTrue(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 3, everything, brokertest.TLS())
	cl := secureClient(t, c)
	create(t, cl, "orders", 3, 3)
	produce(t, cl, "orders", 0, 100)
	readAll(t, cl, "orders")
	types := map[string]string{}
	c.Eventually(func() bool {
		for n := 1; n <= 3; n++ {
			families, err := c.Broker(n).Registry().Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				types[f.GetName()] = strings.ToLower(f.GetType().String())
			}
		}
		return types["kafka_brokers"] != "" && types["runnel_partition_leader"] != "" // by leaders alone
	}, func() string { return "no leader tells" })
	var page strings.Builder
	page.WriteString(pageHead)
	for _, d := range describe(t, c.Broker(1).Registry()) {
		if !strings.HasPrefix(d.name, "runnel_") && !strings.HasPrefix(d.name, "kafka_") {
			continue
		}
		typ := types[d.name]
		if typ == "" && strings.HasSuffix(d.name, "_total") { // nothing has brought it about
			typ = "counter"
		}
		if typ == "" {
			t.Errorf("this test does not bring %s about, so its type is not known", d.name)
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", d.name, typ, d.labels, unit(d.name), d.help)
	}
	path, err := filepath.Abs(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != page.String() {
		t.Errorf("%s is stale: run make metrics-doc (%v)", path, err)
	}

	var problems []string
	for n := 1; n <= 3; n++ {
		found, err := testutil.GatherAndLint(c.Broker(n).Registry())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range found {
			problems = append(problems, p.Metric+": "+p.Text)
		}
	}
	slices.Sort(problems)
	if problems = slices.Compact(problems); len(problems) > 0 {
		t.Errorf("Prometheus's conventions:\n%s", strings.Join(problems, "\n"))
	}
}
