package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerctl/doctor"
	"github.com/runnel-io/runnel/cmd/brokerctl/load"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// tryShut is tryAt with pipes whose readers are gone, as `| head -1` and `2>&1 | head -1` leave them.
func tryShut(t *testing.T, f *fakeCluster, stdin string, shutOut, shutErr, terminal bool, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	a := &app{
		in: strings.NewReader(stdin), out: &out, errOut: &errOut, connect: f.connect, getenv: func(string) string { return "" }, inTTY: terminal,
	}
	if shutOut {
		a.out = &shutWriter{}
	}
	if shutErr {
		a.errOut = &shutWriter{}
	}
	return result{status: execute(t.Context(), a, args), out: out.String(), err: errOut.String()}
}

func TestRecordsThatFailAreAFailureWhoeverHasStoppedReading(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders")
	f.fate = func(int) error { return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "went wrong") }
	for _, c := range []struct {
		shutOut, shutErr bool
		args             string
	}{
		{false, true, "produce orders"},
		{true, false, "produce orders -o json"},
		{true, true, "produce orders -o json"},
	} {
		r := tryShut(t, f, "a\nb\n", c.shutOut, c.shutErr, false, strings.Fields(c.args)...)
		if r.status != 1 || !c.shutErr && !strings.HasPrefix(r.err, "brokerctl: went wrong (of 1 record sent 0 are acknowledged") {
			t.Errorf("%+v: status %d, %q", c, r.status, r.err)
		}
	}
}

func TestABenchThatFailedIsAFailureWhoeverHasStoppedReading(t *testing.T) {
	res := testResult()
	res.Errors, res.FirstError = 3, "went wrong"
	for what, c := range map[string]struct {
		res    load.Result
		runErr error
		want   string
	}{
		"records failed":   {res, nil, "the run had 3 errors, the first: went wrong"},
		"the run broke":    {testResult(), errors.New("cable pulled"), "cable pulled"},
		"nothing measured": {load.Result{}, errors.New("no such topic"), "no such topic"},
	} {
		a := &app{out: resultPipe{&shutWriter{}}}
		if err := a.benched(c.res, c.runErr); err == nil || !strings.Contains(err.Error(), c.want) || hadEnough(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	a := &app{out: resultPipe{&shutWriter{}}}
	if err := a.benched(testResult(), nil); !hadEnough(err) {
		t.Errorf("a run that was good, and nobody reads how good: %v", err)
	}
}

// Progress is for whoever looks on.
func TestProgressThatNobodyReadsEndsNoBench(t *testing.T) {
	p := progress{w: &shutWriter{}, terminal: true}
	p.line(load.Snapshot{Phase: "measuring"})
	p.end()
}

func TestARecoveryWithConsentIsCarriedOutThoughNobodyReadsWhatIsLost(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders")
	f.lost = true
	r := tryShut(t, f, "", false, true, false, "partition", "recover", "orders", "0", "--accept-data-loss", "--yes")
	if r.status != 0 || f.lost || r.out != "recovered orders/0: it goes on with what broker 1 has\n" {
		t.Errorf("status %d, recovered: %v, %q", r.status, !f.lost, r.out)
	}
}

// Nobody consents to what they were not asked.
func TestAQuestionThatNobodyCanReadIsAnsweredByNobody(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders")
	f.lost = true
	for _, args := range []string{
		"partition recover orders 0 --accept-data-loss", "topic delete orders", "topic alter orders --replication-factor 1", "broker remove 2",
	} {
		r := tryShut(t, f, "y\n", false, true, true, strings.Fields(args)...)
		if r.status != 1 || r.out != "" || !f.lost || len(f.topics) != 1 || f.topics[0].replicas != 3 || len(f.removed) > 0 {
			t.Errorf("%s: status %d, %q", args, r.status, r.out)
		}
	}
}

// What is done is done, and what was asked is answered, also where a warning cannot be said.
func TestAWarningThatNobodyReadsKeepsNothingFromBeingSaidOrDone(t *testing.T) {
	f := newFakeCluster()
	f.unknown = "no controller answered in time"
	for _, c := range []struct{ args, want string }{
		{"topic create orders --replication-factor 1", "created topic orders"},
		{"topic alter orders --partitions 3", "altered topic orders: 3 partitions"},
		{"topic alter orders --replication-factor 2", "altered topic orders: 3 partitions, replication factor 2"},
		{"cluster status", "cluster qUz3sWv1"},
		{"produce orders -o json", `"acked": 2`},
		{"produce orders", ""},
	} {
		r := tryShut(t, f, "a\nb\n", false, true, false, strings.Fields(c.args)...)
		if r.status != 0 || !strings.Contains(r.out, c.want) {
			t.Errorf("%s: status %d, %q", c.args, r.status, r.out)
		}
	}
}

func TestWhoeverHasReadEnoughOfTheResultsEndsNoCommandInFailure(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders")
	for _, args := range []string{
		"topic list", "topic list -o json", "topic describe orders", "cluster status", "broker list", "broker drain 1", "produce orders -o json",
		"consume orders --offset start --exit-at-end", "consume orders --offset start -n 1", "version", "topic delete orders --yes",
	} {
		if r := tryShut(t, f, "a\nb\n", true, false, false, strings.Fields(args)...); r.status != 0 || strings.Contains(r.err, "pipe") {
			t.Errorf("%s: status %d, %q", args, r.status, r.err)
		}
	}
}

func TestABundleIsThereWhoeverHasReadEnoughOfWhatIsInIt(t *testing.T) {
	a := &app{out: resultPipe{&shutWriter{}}, getenv: func(string) string { return "" }}
	name := filepath.Join(t.TempDir(), "bundle.tar.gz")
	f := newFakeCluster()
	f.down = errors.New("no broker answers")
	err := a.doctor(t.Context(), name, doctor.Options{Admin: f, Now: time.Now, Progress: func(string) {}, Patience: time.Second, MaxBytes: 1 << 20})
	if _, statErr := os.Stat(name); !hadEnough(err) || statErr != nil {
		t.Errorf("%v, %v", err, statErr)
	}
}

func TestOnlyAResultThatNobodyReadsIsNoFailure(t *testing.T) {
	_, gone := resultPipe{&shutWriter{}}.Write([]byte("x"))
	_, full := resultPipe{fullWriter{}}.Write([]byte("x"))
	other := errors.New("went wrong")
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{other, false},
		{syscall.EPIPE, false}, // of stderr, or of a connection
		{full, false},
		{gone, true},
		{fmt.Errorf("the table: %w", gone), true},
		{errors.Join(gone, gone), true},
		{errors.Join(gone, other), false},
		{errors.Join(other, gone), false},
		{fmt.Errorf("%w: %w", gone, other), false},
		{fmt.Errorf("closing: %w", errors.Join(gone, syscall.EPIPE)), false},
	} {
		if got := hadEnough(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
