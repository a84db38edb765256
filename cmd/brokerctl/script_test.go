package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// result is what a command line left behind.
type result struct {
	out, err string
	status   int
}

// try runs one command line against a fake cluster.
func try(ctx context.Context, f *fakeCluster, stdin string, args ...string) result {
	return tryAt(ctx, f, stdin, false, args...)
}

// tryAt is try, with or without a person at a terminal.
func tryAt(ctx context.Context, f *fakeCluster, stdin string, terminal bool, args ...string) result {
	var out, errOut bytes.Buffer
	a := &app{
		in: strings.NewReader(stdin), out: &out, errOut: &errOut, connect: f.connect, getenv: func(string) string { return "" },
		inTTY: terminal, errTTY: terminal,
	}
	status := execute(ctx, a, args)
	return result{out.String(), errOut.String(), status}
}

// TestScripts runs the command lines of testdata and compares what they print. Directives:
//
//	run [stdin=(line;line;...)] [tty]   one command line; ␣ in an argument stands for a space; tty: a person sits there
//	cluster [trouble] [down] [moving] [planned] [lost] [gone] [unknown]   the state of the fake cluster from here on
//
// `go test -rewrite` writes what is printed now.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		f := newFakeCluster()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "cluster":
				f.trouble, f.down = d.HasArg("trouble"), nil
				f.planned, f.lost, f.gone, f.moves, f.unknown = d.HasArg("planned"), d.HasArg("lost"), d.HasArg("gone"), nil, ""
				if d.HasArg("moving") {
					f.moves = busy()
				}
				if d.HasArg("unknown") {
					f.unknown = "no controller answered in time"
				}
				if d.HasArg("down") {
					f.down = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "no broker answers: connection refused")
				}
				return ""
			case "run":
				var stdin []string
				if d.HasArg("stdin") {
					var s string
					d.ScanArgs(t, "stdin", &s)
					stdin = strings.Split(s, ";")
				}
				args := strings.Fields(d.Input)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "␣", " ")
				}
				var r result
				// In a bubble time stands still while there is something to do, so that rates and times are 0.
				synctest.Test(t, func(t *testing.T) {
					// Following ends when nothing moves any more, as if the user pressed Ctrl-C then.
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					r = tryAt(ctx, f, strings.Join(stdin, "\n"), d.HasArg("tty"), args...)
				})
				if f.open != 0 {
					t.Errorf("%s: %d clients and readers are still open", d.Pos, f.open)
				}
				var b strings.Builder
				b.WriteString(r.out)
				if r.out != "" && !strings.HasSuffix(r.out, "\n") {
					b.WriteString("<no newline>\n")
				}
				for line := range strings.Lines(r.err) {
					b.WriteString("stderr: " + frames(line))
				}
				if r.err != "" && !strings.HasSuffix(r.err, "\n") {
					b.WriteString("<no newline>\n")
				}
				if r.status != 0 {
					fmt.Fprintf(&b, "status %d\n", r.status)
				}
				return b.String()
			}
			d.Fatalf(t, "unknown directive %s", d.Cmd)
			return ""
		})
	})
}

// frames writes what a progress bar draws over and over in one line as a line each.
func frames(line string) string {
	if !strings.Contains(line, "\r") {
		return line
	}
	var b strings.Builder
	for frame := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), "\r") {
		if frame = strings.TrimRight(frame, " "); frame != "" {
			b.WriteString(frame + "\n")
		}
	}
	return b.String()
}

func TestExplainIsOneLineAndNamesTheBrokersAsked(t *testing.T) {
	a := &app{brokers: "a:1,b:2", timeout: time.Second, getenv: func(string) string { return "" }}
	got := a.explain(errors.Join(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "no answer"), errors.New("and more")))
	if want := "no answer; and more (asked a:1,b:2 for up to 1s; --brokers, RUNNEL_BROKERS and --timeout change that)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSeedsComeFromFlagThenEnvironmentThenDefault(t *testing.T) {
	for _, c := range []struct{ flag, env, want string }{
		{"", "", "[127.0.0.1:7070]"},
		{"", "x:1, y:2,", "[x:1 y:2]"},
		{"z:3", "x:1", "[z:3]"},
		{"z", "", "--brokers has"},
		{"", "[::1]:7070,nonsense", "RUNNEL_BROKERS has"},
		{",", "", "names no broker"},
	} {
		a := &app{brokers: c.flag, getenv: func(string) string { return c.env }}
		seeds, err := a.seeds()
		if got := fmt.Sprint(seeds, err); !strings.Contains(got, c.want) {
			t.Errorf("flag %q, environment %q: %s, want %s", c.flag, c.env, got, c.want)
		}
	}
}

func TestTopicNamesAreCompleted(t *testing.T) {
	f := newFakeCluster()
	for _, name := range []string{"orders", "payments"} {
		if r := try(t.Context(), f, "", "topic", "create", name); r.status != 0 {
			t.Fatal(r.err)
		}
	}
	for _, args := range [][]string{{"partition", "move", ""}, {"produce", ""}, {"consume", ""}, {"topic", "describe", ""}, {"topic", "delete", ""}, {"bench", "consume", "--topic", ""}} {
		r := try(t.Context(), f, "", append([]string{"__complete"}, args...)...)
		if !strings.HasPrefix(r.out, "orders\npayments\n:4") {
			t.Errorf("%v: %q", args, r.out)
		}
	}
}

func TestPartitionsAndBrokersAreCompleted(t *testing.T) {
	f := newFakeCluster()
	if r := try(t.Context(), f, "", "topic", "create", "orders", "--partitions", "2"); r.status != 0 {
		t.Fatal(r.err)
	}
	for line, want := range map[string]string{
		"partition move orders ":        "0\n1\n:4",
		"partition recover orders 1 ":   ":4",
		"broker drain ":                 "1\t127.0.0.1:7070\n2\t127.0.0.1:7080\n3\t127.0.0.1:7090\n:4",
		"partition move orders 1 --to ": "1\t127.0.0.1:7070\n2",
		"partition list --topic ":       "orders\n:4",
	} {
		r := try(t.Context(), f, "", append([]string{"__complete"}, strings.Split(line, " ")...)...)
		if !strings.HasPrefix(r.out, want) {
			t.Errorf("%s: %q, want %q", line, r.out, want)
		}
	}
}
