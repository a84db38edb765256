package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestProbeAnswersWhatTheBrokerSays(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := asked.Add(1); n < 3 || r.URL.Path != "/readyz" || !r.URL.Query().Has("replicated") {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, "orders/3 is under-replicated")
			return
		}
		fmt.Fprintln(w, "ok")
	}))
	defer s.Close()
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"probe", s.URL + "/readyz?replicated"}, 1, "orders/3 is under-replicated"},
		{[]string{"probe", "--wait", "1ms", s.URL + "/healthz"}, 1, "not within 1ms: 503"},
		{[]string{"probe", "--wait", "1m", s.URL + "/readyz?replicated"}, 0, "ok\n"},
		{[]string{"probe", "http://127.0.0.1:1/"}, 1, "refused"},
	} {
		var out, errs bytes.Buffer
		if status := run(t.Context(), c.args, nil, &out, &errs); status != c.status || !strings.Contains(out.String()+errs.String(), c.want) {
			t.Errorf("%q: status %d, %s%s", c.args, status, out.String(), errs.String())
		}
	}
	if n := asked.Load(); n < 3 {
		t.Errorf("asked %d times: it does not wait", n)
	}
}
