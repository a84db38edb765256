package controller

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// lines is a log that several nodes write.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// with lists the lines that have a text.
func (l *lines) with(text string) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}

// tuned has a controller follow settings of the names of its Tuning.
func tuned(c *Config) {
	c.Tune = func(s *placement.State, t Tuning) Tuning {
		if d, err := time.ParseDuration(s.Settings["after"]); err == nil {
			t.ReplaceAfter = d
		}
		if v := s.Settings["automatic"]; v != "" {
			t.Automatic = v == "true"
		}
		if _, err := fmt.Sscan(s.Settings["parallel"], &t.Parallel); err != nil {
			return t
		}
		return t
	}
}

func TestAlteredSettingsAreFollowedByTheLeaderAtOnce(t *testing.T) {
	t.Parallel()
	g, nodes, a := driven(t, 5, func(c *Config) { tuned(c); c.ReplaceAfter = time.Hour })
	do(t, nodes[0].c, CreateTopic{Name: "t", Partitions: 6, RF: 3})
	a.set(func() { a.silent[5] = true })
	do(t, nodes[1].c, AlterSettings{Set: map[string]string{"after": "50ms", "automatic": "true"}})
	g.await(func() bool { s := nodes[0].c.State(); return atRest(s) && holders(s)[5] == 0 })
	if r := do(t, nodes[0].c, Overview{}); r.Overview.ReplaceAfterMS != 50 {
		t.Errorf("the overview tells of %d ms", r.Overview.ReplaceAfterMS)
	}
	judges := func(want time.Duration) {
		t.Helper()
		h := nodes[0].c.hearing
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.replaceAfter != want {
			t.Errorf("silences are judged by %v, not %v", h.replaceAfter, want)
		}
	}
	judges(50 * time.Millisecond)
	do(t, nodes[0].c, AlterSettings{Unset: []string{"after", "automatic"}})
	if got := nodes[0].c.cfg.tuning(nodes[0].c.State()); got.ReplaceAfter != time.Hour || got.Automatic {
		t.Errorf("what the broker was started with does not hold again: %+v", got)
	}
	judges(time.Hour)
}

func TestOneLineTellsWhoChangedWhatAndOnlyOnTheBrokerThatDidIt(t *testing.T) {
	var log lines
	g := newFakeGroup(t)
	g.configure = func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)).With("on", c.BrokerID) }
	_, nodes := clusterOf(t, g, 3)
	do(t, nodes[0].c, CreateTopic{Name: "t", RF: 1, Config: map[string]string{"retention.ms": "5"}})
	for _, x := range []struct {
		r    Request
		want []string
	}{
		{AlterSettings{Set: map[string]string{"a": "1", "b": "2"}, By: "10.0.0.9:5"}, []string{`of=cluster`, `changes="a: unset -> 1, b: unset -> 2"`, `by=10.0.0.9:5`}},
		{AlterSettings{Set: map[string]string{"a": "3"}, Unset: []string{"b"}, By: "x"}, []string{`of=cluster`, `changes="a: 1 -> 3, b: 2 -> unset"`}},
		{AlterSettings{Broker: 2, Set: map[string]string{"a": "4"}}, []string{`of="broker 2"`, `changes="a: unset -> 4"`, `by=unknown`}},
		{AlterTopicConfig{Name: "t", Set: map[string]string{"retention.ms": "6"}, By: "y"}, []string{`of="topic t"`, `changes="retention.ms: 5 -> 6"`, `by=y`}},
		{AddPartitions{Topic: "t", Partitions: 3, By: "y"}, []string{`of="topic t"`, `changes="partitions: 1 -> 3"`, `by=y`}},
		{SetReplicationFactor{Topic: "t", RF: 2, By: "y"}, []string{`of="topic t"`, `changes="replication factor: 1 -> 2"`, `by=y`}},
	} {
		before := len(log.with("settings changed"))
		r := do(t, nodes[2].c, x.r)
		got := log.with("settings changed")
		if len(got) != before+1 {
			t.Fatalf("%+v: %d lines more: %v", x.r, len(got)-before, got)
		}
		for _, w := range append(x.want, "on=1", fmt.Sprintf("revision=%d", r.Revision)) {
			if !strings.Contains(got[before], w) {
				t.Errorf("%q lacks %q", got[before], w)
			}
		}
	}
	before := len(log.with("settings changed"))
	if r := do(t, nodes[2].c, AlterSettings{Set: map[string]string{"a": "3"}}); len(r.Changes) != 0 || len(log.with("settings changed")) != before {
		t.Errorf("what was so before is told as a change: %v", r.Changes)
	}
}

func TestSettingsThatAreRefusedChangeNothing(t *testing.T) {
	var asked []string // by the leader, one request after the other
	g := newFakeGroup(t)
	g.configure = func(c *Config) {
		c.ValidateSettings = func(broker int32, set map[string]string, unset []string) error {
			asked = append(asked, fmt.Sprint(broker, set, unset))
			if set["a"] == "bad" || slices.Contains(unset, "none") {
				return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING, "no")
			}
			return nil
		}
	}
	_, nodes := clusterOf(t, g, 2)
	do(t, nodes[0].c, AlterSettings{Broker: 2, Set: map[string]string{"a": "1", "gone": "1"}})
	entries := func() (n int) { g.job(func() { n = len(g.entries) }); return n }
	s, n := nodes[0].c.State(), entries()
	for _, x := range []struct {
		r      AlterSettings
		reason runnelv1.ErrorReason
	}{
		{AlterSettings{Set: map[string]string{"a": "bad", "b": "1"}}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING},
		{AlterSettings{Unset: []string{"none"}}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING},
		{AlterSettings{Set: map[string]string{"b": "1"}, Unset: []string{"b"}}, invalidArgument},
		{AlterSettings{Broker: 9, Set: map[string]string{"b": "1"}}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER},
	} {
		_, err := nodes[1].c.Do(t.Context(), x.r)
		wantReason(t, err, x.reason, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)
	}
	if nodes[0].c.State() != s || entries() != n {
		t.Error("a refused change stands in the log")
	}
	// What is set goes, whether or not this release knows it.
	asked = nil
	do(t, nodes[0].c, AlterSettings{Broker: 2, Unset: []string{"gone"}})
	if len(asked) == 0 || slices.Contains(asked, "2 map[] [gone]") {
		t.Errorf("asked about %q", asked)
	}
}

// A release that does not know the command would stop its replica of the controller group at it, and two of them the whole group.
func TestNothingIsSetWhileABrokerRunsAReleaseThatCannotReadIt(t *testing.T) {
	t.Parallel()
	var third atomic.Int32
	g := newFakeGroup(t)
	g.configure = func(c *Config) {
		c.Level = func(broker int32) (int, bool) {
			if broker == 3 {
				return int(third.Load()), true
			}
			return placement.Level, true
		}
	}
	_, nodes := clusterOf(t, g, 3)
	alter := AlterSettings{Set: map[string]string{"a": "1"}}
	_, err := nodes[1].c.Do(t.Context(), alter)
	if e := wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE, runnelv1.ErrorKind_ERROR_KIND_DEFINITE); !strings.Contains(e.Error(), "upgrade broker 3 first") {
		t.Fatal(e)
	}
	if l := nodes[0].c.State().Level(); l != 1 {
		t.Fatalf("what was refused took the cluster to level %d", l)
	}
	third.Store(2)
	if r := do(t, nodes[1].c, alter); r.Revision == 0 || nodes[0].c.State().Level() != 2 {
		t.Fatalf("%+v, level %d", r, nodes[0].c.State().Level())
	}
	third.Store(0) // all have read it: whoever could not has stopped
	do(t, nodes[1].c, AlterSettings{Set: map[string]string{"a": "2"}})
	// A broker of the older release cannot come back, or join.
	old := RegisterBroker{Broker: registration(4)}
	_, err = nodes[0].c.Do(t.Context(), old)
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)
	old.Level = placement.Level
	do(t, nodes[0].c, old)
}
