package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAnErrorIsToldOnce(t *testing.T) {
	s := &Stream{stop: func() {}, failed: make(chan struct{})}
	s.fail(errors.New("a record was not acknowledged"))
	for name, why := range map[string]error{
		"told already": fmt.Errorf("step 2: %w", s.Err()),
		"told by none": context.DeadlineExceeded,
	} {
		err := s.Abort(s.Abort(why))
		if !errors.Is(err, why) {
			t.Errorf("%s: %v does not tell %v", name, err, why)
		}
		if n := strings.Count(err.Error(), "a record was not acknowledged"); n != 1 {
			t.Errorf("%s: the first error stands %d times in %q", name, n, err)
		}
	}
	if err := s.Abort(nil); !errors.Is(err, s.Err()) {
		t.Errorf("without a reason: %v", err)
	}
	well := &Stream{stop: func() {}, failed: make(chan struct{})}
	if err := well.Abort(nil); err != nil {
		t.Errorf("nothing went wrong: %v", err)
	}
}
