package certs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// maxFile bounds a file: a bundle of hundreds of certificates.
const maxFile = 1 << 20

// watch reads a set of files again when their contents change. It is for one goroutine at a time.
type watch struct {
	use   string
	paths []string
	// take puts new contents in force, in the order of paths, or says why it cannot and changes nothing.
	take func(contents [][]byte) error

	log     *slog.Logger
	metrics *Metrics

	inForce, last [sha256.Size]byte // what take took, and what the last look saw
	told          bool              // take refused last, which was logged and counted
}

// settleEvery is how often open looks again.
const settleEvery = 50 * time.Millisecond

// open is the first look, and looks again at what it cannot take until ctx ends, as a process that runs does: a certificate and its key cannot be
// replaced at the same instant, and a start may come between the two.
func (w *watch) open(ctx context.Context) error {
	err := w.first()
	if err == nil || ctx.Err() != nil {
		return err
	}
	w.log.Warn("certificates or keys cannot be used; they are read again for a moment, since they may be about to be replaced", "use", w.use, "error", err)
	again := time.NewTicker(settleEvery)
	defer again.Stop()
	for err != nil {
		select {
		case <-ctx.Done():
			return err
		case <-again.C:
			err = w.first()
		}
	}
	return nil
}

func (w *watch) first() error {
	contents, err := readAll(w.paths)
	if err != nil {
		return err
	}
	if err := w.take(contents); err != nil {
		return err
	}
	w.inForce = sum(contents, nil)
	w.last = w.inForce
	return nil
}

// look takes what has changed, once two looks in a row saw the same: contents that are half written may be good ones. Changed times alone
// mean nothing, and unchanged ones neither: a link may point elsewhere.
func (w *watch) look() {
	contents, err := readAll(w.paths)
	seen := sum(contents, err)
	if seen != w.last {
		w.last, w.told = seen, false
		return
	}
	if seen == w.inForce {
		return
	}
	if err == nil {
		err = w.take(contents)
	}
	switch {
	case err == nil:
		w.inForce = seen
		w.metrics.reloads.WithLabelValues(w.use, "ok").Inc()
		w.log.Info("new certificates or keys are in force, for connections from now on", "use", w.use)
	case !w.told:
		w.told = true
		w.metrics.reloads.WithLabelValues(w.use, "failed").Inc()
		w.log.Error("changed certificates or keys cannot be used, the former ones stay in force", "use", w.use, "error", err)
	}
}

func readAll(paths []string) ([][]byte, error) {
	out := make([][]byte, len(paths))
	var errs []error
	for i, p := range paths {
		var err error
		if out[i], err = readFile(p); err != nil {
			errs = append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return text, err
}

// sum stands for contents, or for the reason why there are none.
func sum(contents [][]byte, err error) (out [sha256.Size]byte) {
	h := sha256.New()
	for _, c := range contents {
		one := sha256.Sum256(c)
		_, _ = h.Write(one[:]) // a hash never fails
	}
	if err != nil {
		_, _ = h.Write([]byte(err.Error()))
	}
	h.Sum(out[:0])
	return out
}
