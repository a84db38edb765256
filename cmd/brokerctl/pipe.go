package main

import (
	"errors"
	"fmt"
	"io"
	"syscall"
)

// resultPipe is stdout, where results go. It marks the errors of a pipe whose reader is gone: whoever reads the results, such as head, has
// had enough of them then. No other broken pipe means that: not stderr's, and not a connection's.
type resultPipe struct{ w io.Writer }

func (p resultPipe) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = &enoughError{err}
	}
	return n, err
}

// enoughError is that nobody reads the results any more.
type enoughError struct{ err error }

func (e *enoughError) Error() string { return e.err.Error() }
func (e *enoughError) Unwrap() error { return e.err }

// hadEnough tells whether all that went wrong is that nobody reads the results any more.
func hadEnough(err error) bool {
	switch e := err.(type) { //nolint:errorlint // goes through all that are wrapped, since one of another kind decides
	case *enoughError:
		return true
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if !hadEnough(one) {
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		return hadEnough(e.Unwrap())
	}
	return false
}

// tell says on stderr what goes with a command: a warning, a summary, its failure. Who closed stderr does not want to know; what the
// command does, and its exit status, are the same.
func (a *app) tell(format string, args ...any) { _, _ = fmt.Fprintf(a.errOut, format, args...) }
