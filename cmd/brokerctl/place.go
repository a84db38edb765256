package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/runnel-io/runnel/rpc/client"
)

// place is a parsed --offset.
type place struct {
	kind placeKind
	n    int64     // atOffset: the offset; fromEnd: how many before the end
	t    time.Time // atTime
	// begun has the partitions whose first record at t or later was seen; see skip.
	begun map[int32]bool
}

// skip tells whether a record lies before the time asked for. A reader begins with the whole batch that reaches it, so
// only records before the first hit of a partition are skipped: later ones count even if their clock was behind.
func (p *place) skip(r *client.Record) bool {
	if p.begun[r.Partition] {
		return false
	}
	if r.Timestamp.UnixMilli() < p.t.UnixMilli() {
		return true
	}
	if p.begun == nil {
		p.begun = map[int32]bool{}
	}
	p.begun[r.Partition] = true
	return false
}

type placeKind uint8

const (
	atStart placeKind = iota
	atEnd
	atOffset
	fromEnd
	atTime
)

// parsePlace reads --offset: start, end, N, -N or @time, the time in milliseconds since 1970 or as RFC 3339.
func parsePlace(s string) (place, error) {
	switch {
	case s == "start":
		return place{kind: atStart}, nil
	case s == "end":
		return place{kind: atEnd}, nil
	case strings.HasPrefix(s, "@"):
		ms, err := strconv.ParseInt(s[1:], 10, 64)
		t := time.UnixMilli(ms)
		if err != nil {
			t, err = time.Parse(time.RFC3339, s[1:])
		}
		switch {
		case err != nil:
			return place{}, fmt.Errorf("--offset has the time %q: use @ and milliseconds since 1970, or RFC 3339 such as @2026-01-02T15:04:05Z", s[1:])
		case t.UnixMilli() < 0:
			return place{}, fmt.Errorf("--offset %s is before 1970: use start for all records, or a later time", s)
		}
		return place{kind: atTime, t: t}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil || n == -1<<63:
		return place{}, fmt.Errorf("--offset is %q: use start, end, N, -N (before the end) or @time", s)
	case strings.HasPrefix(s, "-"):
		return place{kind: fromEnd, n: -n}, nil
	}
	return place{kind: atOffset, n: n}, nil
}
