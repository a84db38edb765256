package broker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// page serves the HTTP address and answers its URL.
func page(t *testing.T, reg *prometheus.Registry, c checks, pprof bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ok := func() error { return nil }
	if c.healthy == nil {
		c.healthy = ok
	}
	if c.ready == nil {
		c.ready = ok
	}
	stop := startHTTP(l, reg, c, pprof, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
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

func TestTheChecksSayWhyInOneLine(t *testing.T) {
	var sick, busy, lacking atomic.Pointer[string]
	why := func(p *atomic.Pointer[string]) error {
		if s := p.Load(); s != nil {
			return errors.New(*s)
		}
		return nil
	}
	url := page(t, prometheus.NewRegistry(), checks{
		healthy: func() error { return why(&sick) }, ready: func() error { return why(&busy) },
		replicated: func(context.Context) error { return why(&lacking) },
	}, false)
	want := func(path string, status int, text string) {
		t.Helper()
		if got, body := fetch(t, url+path); got != status || body != text+"\n" {
			t.Errorf("%s: %d %q, want %d %q", path, got, body, status, text)
		}
	}
	want("/healthz", 200, "ok")
	want("/readyz", 200, "ok")
	want("/readyz?replicated", 200, "ok")
	for p, s := range map[*atomic.Pointer[string]]string{&sick: "meta.db failed\nfor good", &busy: "3 of 9 replicas are not open yet", &lacking: "orders/1 lacks one"} {
		p.Store(&s)
	}
	want("/healthz", 503, "meta.db failed; for good")
	want("/readyz", 503, "3 of 9 replicas are not open yet")
	want("/readyz?replicated", 503, "orders/1 lacks one")
	want("/readyz?replicated=true", 503, "orders/1 lacks one")
	want("/nothing", 404, "404 page not found")
}

func TestPprofIsThereWhenAskedFor(t *testing.T) {
	off, on := page(t, prometheus.NewRegistry(), checks{}, false), page(t, prometheus.NewRegistry(), checks{}, true)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1"} {
		if status, _ := fetch(t, off+path); status != http.StatusNotFound {
			t.Errorf("%s is served although nobody asked for it: %d", path, status)
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1"} {
		if status, body := fetch(t, on+path); status != http.StatusOK || body == "" {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// slow is a collector that waits.
type slow struct {
	entered chan struct{}
	release chan struct{}
}

func (s slow) Describe(ds chan<- *prometheus.Desc) {
	ds <- prometheus.NewDesc("slow", "Slow.", nil, nil)
}
func (s slow) Collect(chan<- prometheus.Metric) {
	s.entered <- struct{}{}
	<-s.release
}

func TestScrapesAtATimeAreBounded(t *testing.T) {
	reg, s := prometheus.NewRegistry(), slow{make(chan struct{}), make(chan struct{})}
	reg.MustRegister(s)
	url := page(t, reg, checks{}, false)
	got := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() {
			resp, err := http.Get(url + "/metrics") //nolint:noctx // it ends with the test's release
			if err != nil {
				got <- 0
				return
			}
			_ = resp.Body.Close()
			got <- resp.StatusCode
		}()
		<-s.entered
	}
	if status, body := fetch(t, url+"/metrics"); status != http.StatusServiceUnavailable || !strings.Contains(body, "Limit of concurrent requests") {
		t.Errorf("one more scrape than may be answered at a time: %d %s", status, body)
	}
	if status, _ := fetch(t, url+"/healthz"); status != http.StatusOK {
		t.Errorf("scrapes keep a probe out: %d", status)
	}
	close(s.release)
	for range maxScrapes {
		if status := <-got; status != http.StatusOK {
			t.Errorf("a scrape within the bound: %d", status)
		}
	}
}

// broken is a collector whose metric cannot be told.
type broken struct{}

var brokenDesc = prometheus.NewDesc("broken", "Broken.", nil, nil)

func (broken) Describe(ds chan<- *prometheus.Desc) { ds <- brokenDesc }
func (broken) Collect(ms chan<- prometheus.Metric) {
	ms <- prometheus.NewInvalidMetric(brokenDesc, errors.New("defect"))
}

func TestADefectiveCollectorDoesNotBlind(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(broken{}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sound", Help: "Sound."}, func() float64 { return 1 }))
	if status, body := fetch(t, page(t, reg, checks{}, false)+"/metrics"); status != http.StatusOK || !strings.Contains(body, "sound 1") {
		t.Errorf("%d %s", status, body)
	}
}
