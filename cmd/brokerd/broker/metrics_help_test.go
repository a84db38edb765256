package broker_test

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

// scrape is what brokers show: a value by name and labels, as they are written.
type scrape map[string]float64

// get asks a broker's HTTP address.
func get(t *testing.T, c *brokertest.Cluster, n int, path string) (status int, body string) {
	t.Helper()
	return ask(t, "http://"+c.Config(n).HTTPListen+path)
}

func ask(t *testing.T, url string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(patient(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// scraped adds up what the running brokers show.
func scraped(t *testing.T, c *brokertest.Cluster) scrape {
	t.Helper()
	all := scrape{}
	for n := 1; n <= c.Size(); n++ {
		if c.Broker(n) == nil {
			continue
		}
		for key, v := range scrapedOne(t, c, n) {
			all[key] += v
		}
	}
	return all
}

func scrapedOne(t *testing.T, c *brokertest.Cluster, n int) scrape {
	t.Helper()
	status, text := get(t, c, n, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("broker %d answers a scrape with %d: %s", n, status, text)
	}
	out := scrape{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out[line[:at]] = v
	}
	return out
}

// sum adds up the samples of a name with labels that hold all of the given ones, such as `topic="orders"`.
func (s scrape) sum(name string, labels ...string) (sum float64, samples int) {
	for key, v := range s {
		if got, _, _ := strings.Cut(key, "{"); got != name {
			continue
		}
		all := true
		for _, l := range labels {
			all = all && strings.Contains(key, l)
		}
		if all {
			sum += v
			samples++
		}
	}
	return sum, samples
}
