package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// maxScrapes are answered at a time, the others refused. Two Prometheus servers and a person are enough.
	maxScrapes = 4
	// scrapeWithin bounds one scrape, answerWithin the writing of any answer but a profile: a reader that does not read must not hold one of
	// the few places.
	scrapeWithin = 8 * time.Second
	answerWithin = 15 * time.Second
)

// checks answer nil, or why not.
type checks struct {
	healthy, ready func() error
	replicated     func(context.Context) error
}

// startHTTP serves /metrics, /healthz and /readyz, and pprof if asked for. health.go tells what they mean.
func startHTTP(l net.Listener, reg *prometheus.Registry, c checks, withPprof bool, log *slog.Logger) (stop func(context.Context) error) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", bounded(promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeWithin,
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: scrapeErrors{log}, // one collector's defect must not blind the operator
	})))
	mux.Handle("GET /healthz", bounded(answer(func(*http.Request) error { return c.healthy() })))
	mux.Handle("GET /readyz", bounded(answer(func(r *http.Request) error {
		if r.URL.Query().Has("replicated") {
			return c.replicated(r.Context())
		}
		return c.ready()
	})))
	if withPprof {
		servePprof(mux)
	}
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.With("component", "http").Handler(), slog.LevelWarn),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }() // ends by stop
	return func(ctx context.Context) error {
		err := srv.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, srv.Close())
		}
		if serve := <-done; !errors.Is(serve, http.ErrServerClosed) {
			err = errors.Join(err, serve)
		}
		return err
	}
}

// answer says ok, or in one line why not.
func answer(check func(*http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := check(r); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, strings.ReplaceAll(err.Error(), "\n", "; "))
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// bounded gives a handler so long to write its answer.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerWithin)) // every connection of net/http has deadlines
		h.ServeHTTP(w, r)
	})
}

func servePprof(mux *http.ServeMux) {
	// Without these the block and mutex profiles are empty. Locks are contended seldom, so one contention in five is
	// some a second; of blocking, only what lasts counts for sure. Both cost little.
	runtime.SetMutexProfileFraction(5)
	runtime.SetBlockProfileRate(int(10 * time.Microsecond))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

// scrapeErrors logs what promhttp has to say.
type scrapeErrors struct{ log *slog.Logger }

func (s scrapeErrors) Println(v ...any) {
	s.log.Error("a scrape is incomplete or could not be sent", "component", "http", "error", strings.TrimSpace(fmt.Sprintln(v...)))
}
