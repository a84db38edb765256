package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// profiles are those that a broker with pprof on gives at once. The counts of goroutines are text, which can be read without tools.
var profiles = []struct {
	file, path string
	kind       kind
}{
	{"goroutines.txt", "/debug/pprof/goroutine?debug=1", asText},
	{"heap.pprof", "/debug/pprof/heap", asBinary},
	{"mutex.pprof", "/debug/pprof/mutex", asBinary},
	{"block.pprof", "/debug/pprof/block", asBinary},
}

// ProfilesOff is the error of an entry that a broker without pprof does not give.
const ProfilesOff = "profiles are off at this broker: --pprof, or pprof: true, switches them on"

// broker asks one broker for all that its HTTP address gives.
func (g *gatherer) broker(ctx context.Context, f *brokerFacts) {
	if f.address == "" {
		f.httpErr = errNoAddress
		g.b.lack(f.folder, f.name, f.httpErr)
		return
	}
	// The metrics are asked first: if nobody is there, the rest need not be tried, and would only wait.
	sent := g.o.Now()
	f.asked = sent
	a, err := g.get(ctx, f, "metrics.txt", "/metrics", asText, maxMetrics, 0)
	if err != nil {
		f.httpErr = err
		return
	}
	if a.status == http.StatusOK {
		f.metrics = parseMetrics(a.text)
	}
	f.clock = clockOf(a.date, sent, a.began)
	f.healthy = g.verdict(ctx, f, "healthz.txt", "/healthz")
	f.ready = g.verdict(ctx, f, "readyz.txt", "/readyz")
	a, err = g.get(ctx, f, "goroutines.txt", profiles[0].path, profiles[0].kind, maxProfile, 0)
	if err != nil || a.status != http.StatusOK {
		f.pprofOff = err == nil && a.status == http.StatusNotFound
		return
	}
	var all errgroup.Group
	for _, p := range profiles[1:] {
		all.Go(func() error {
			_, _ = g.get(ctx, f, p.file, p.path, p.kind, maxProfile, 0)
			return nil
		})
	}
	if s := int(g.o.Profile / time.Second); s > 0 {
		_, _ = g.get(ctx, f, "cpu.pprof", fmt.Sprintf("/debug/pprof/profile?seconds=%d", s), asBinary, maxProfile, g.o.Profile)
	}
	_ = all.Wait()
}

// verdict is "" if a broker answers 200, else its words.
func (g *gatherer) verdict(ctx context.Context, f *brokerFacts, file, path string) string {
	a, err := g.get(ctx, f, file, path, asText, maxSmall, 0)
	switch {
	case err != nil:
		return oneLine(err)
	case a.status == http.StatusOK:
		return ""
	}
	return strings.TrimSpace(string(a.text[:min(len(a.text), 500)]))
}

type answer struct {
	status int
	text   []byte
	date   string
	began  time.Time // when the answer's head was there
}

// get asks for a page within the patience and longer, and keeps what is answered. An error is that nobody answered; another
// status than 200 is none, but the manifest has it.
func (g *gatherer) get(ctx context.Context, f *brokerFacts, file, path string, k kind, most int, longer time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, g.o.Patience+longer)
	defer cancel()
	name, from := f.folder+"/"+file, "http://"+f.address+path
	a, more, err := g.page(ctx, from, most)
	if err != nil {
		g.b.lack(name, from, err)
		return a, err
	}
	if a.status == http.StatusNotFound {
		why := "not found: this version does not have it"
		if strings.HasPrefix(path, "/debug/pprof") {
			why = ProfilesOff
		}
		g.b.lack(name, from, errors.New(why))
		return a, nil
	}
	g.b.add(name, from, a.text, k, most, more)
	return a, nil
}

func (g *gatherer) page(ctx context.Context, from string, most int) (a answer, more bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return a, false, err
	}
	resp, err := g.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL is told beside it
		}
		return a, false, err
	}
	defer func() { _ = resp.Body.Close() }() // what was read counts
	a.began, a.status, a.date = g.o.Now(), resp.StatusCode, resp.Header.Get("Date")
	a.text, err = io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	if err != nil {
		return a, false, fmt.Errorf("after %d bytes: %w", len(a.text), err)
	}
	if len(a.text) > most {
		a.text, more = a.text[:most], true
	}
	return a, more, nil
}

// clockOf compares a broker's clock, as its answer's head gives it in whole seconds, with this machine's when it was asked and when it
// answered. nil if it tells none.
func clockOf(date string, sent, began time.Time) *offset {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return nil
	}
	// It was written within [sent, began], at a time within [theirs, theirs+1s).
	middle := sent.Add(began.Sub(sent) / 2)
	return &offset{ahead: theirs.Add(time.Second / 2).Sub(middle), wrong: time.Second/2 + began.Sub(sent)/2}
}
