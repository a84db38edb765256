package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func readLines(in io.Reader, limit int) (lines []string, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := newLineReader(ctx, in, limit)
	for {
		line, err := l.next()
		if err != nil {
			return lines, err
		}
		lines = append(lines, string(line))
	}
}

func TestLinesUpToTheLimit(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, c := range []struct {
		in   string
		want []string
		err  string
	}{
		{"", nil, "EOF"},
		{"\n", []string{""}, "EOF"},
		{"a\n\nb", []string{"a", "", "b"}, "EOF"},
		{"a\r\n", []string{"a\r"}, "EOF"},
		{long + "\n" + long, []string{long, long}, "EOF"},
		{"a\n" + long + "x\nb\n", []string{"a"}, "line 2 is longer than 100 bytes"},
		{"a\n" + long + "x", []string{"a"}, "line 2 is longer than 100 bytes"},
		{long + long + long, nil, "line 1 is longer than 100 bytes"},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "data with EOF": iotest.DataErrReader,
		} {
			lines, err := readLines(wrap(strings.NewReader(c.in)), 100)
			if fmt.Sprintf("%q", lines) != fmt.Sprintf("%q", c.want) || err == nil || err.Error() != c.err {
				t.Errorf("%.20q %s: %q, %v; want %q, %s", c.in, name, lines, err, c.want, c.err)
			}
		}
	}
}

func TestALargeStreamArrivesWhole(t *testing.T) {
	var b bytes.Buffer
	for i := range 200_000 {
		fmt.Fprintf(&b, "%d\n", i*i)
	}
	want := b.String()
	lines, err := readLines(&b, 100)
	if !errors.Is(err, io.EOF) || strings.Join(lines, "\n")+"\n" != want {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}

func TestAReadErrorIsNamedWithItsLine(t *testing.T) {
	f := newFakeCluster()
	if r := try(t.Context(), f, "", "topic", "create", "orders"); r.status != 0 {
		t.Fatal(r.err)
	}
	var errOut bytes.Buffer
	a := &app{
		in: io.MultiReader(strings.NewReader("a\nb\n"), iotest.ErrReader(errors.New("cable pulled"))), out: io.Discard, errOut: &errOut,
		connect: f.connect, getenv: func(string) string { return "" },
	}
	if execute(t.Context(), a, []string{"produce", "orders"}) == 0 || !strings.Contains(errOut.String(), "after line 2: cable pulled") {
		t.Errorf("got %s", errOut.String())
	}
}

// A terminal that nobody types on cannot be read to its end.
func TestProduceEndsWithAnInterrupt(t *testing.T) {
	f := newFakeCluster()
	if r := try(t.Context(), f, "", "topic", "create", "orders"); r.status != 0 {
		t.Fatal(r.err)
	}
	f.slow = true
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		in, tty := io.Pipe()
		go func() { _, _ = io.WriteString(tty, "a\nb\n") }()
		var errOut bytes.Buffer
		a := &app{in: in, out: io.Discard, errOut: &errOut, connect: f.connect, getenv: func(string) string { return "" }}
		status := execute(ctx, a, []string{"produce", "orders"})
		if status != 1 || !strings.Contains(errOut.String(), "interrupted after 2 lines (of 2 records sent 2 are acknowledged, 0 failed, 0 unknown") {
			t.Errorf("status %d: %s", status, errOut.String())
		}
		_ = tty.Close()
	})
}

func TestProduceTellsAckedFailedAndUnknownApart(t *testing.T) {
	f := newFakeCluster()
	if r := try(t.Context(), f, "", "topic", "create", "orders"); r.status != 0 {
		t.Fatal(r.err)
	}
	for reason, want := range map[runnelv1.ErrorReason]string{
		runnelv1.ErrorReason_ERROR_REASON_TIMEOUT:    "of 3 records sent 2 are acknowledged, 0 failed, 1 unknown",
		runnelv1.ErrorReason_ERROR_REASON_OVERLOADED: "of 3 records sent 2 are acknowledged, 1 failed, 0 unknown",
	} {
		f.handed = 0
		f.fate = func(n int) error {
			if n == 2 {
				return runnelv1.Errorf(reason, "went wrong")
			}
			return nil
		}
		r := try(t.Context(), f, "a\nb\nc\nd\n", "produce", "orders", "-o", "json")
		if r.status != 1 || !strings.Contains(r.err, "went wrong") || !strings.Contains(r.err, want) || !strings.Contains(r.out, `"acked": 2`) {
			t.Errorf("status %d, %s, %s", r.status, r.out, r.err)
		}
	}
}

// shutWriter is a pipe whose reader is gone.
type shutWriter struct{ after int }

func (w *shutWriter) Write(b []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
	}
	return len(b), nil
}

func TestConsumeStopsCleanlyWhenItsReaderIsGone(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders")
	try(t.Context(), f, "a\nb\n", "produce", "orders")
	synctest.Test(t, func(t *testing.T) { // follows, so only the late write can find out
		var errOut bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &shutWriter{}, errOut: &errOut, connect: f.connect, getenv: func(string) string { return "" }}
		if status := execute(t.Context(), a, []string{"consume", "orders", "--offset", "start"}); status != 0 || errOut.Len() > 0 {
			t.Errorf("status %d: %s", status, errOut.String())
		}
	})
	if f.open != 0 {
		t.Errorf("%d clients and readers are still open", f.open)
	}
}

// lockedBuffer may be written by a timer while the test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestAFollowedRecordIsPrintedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		w := newPromptWriter(&out, func() { t.Error("failed") })
		for i := range 3 {
			if _, err := fmt.Fprintf(w, "%d", i); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != "" {
			t.Error("every record costs a system call")
		}
		<-time.After(promptAfter + time.Millisecond)
		synctest.Wait()
		if out.String() != "012" {
			t.Errorf("after %v: %q", promptAfter, out.String())
		}
		if _, err := io.WriteString(w, "3"); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil || out.String() != "0123" {
			t.Errorf("after Close: %q, %v", out.String(), err)
		}
	})
}

func TestReadersOfManyPartitionsAreMerged(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders", "--partitions", "3")
	try(t.Context(), f, "0\n1\n2\n3\n4\n5\n6\n7\n8\n", "produce", "orders")
	synctest.Test(t, func(t *testing.T) {
		r := try(t.Context(), f, "", "consume", "orders", "--offset", "-2", "--exit-at-end", "-f", `%p:%o\n`)
		for _, want := range []string{"0:1", "0:2", "1:1", "1:2", "2:1", "2:2"} {
			if strings.Count(r.out, want+"\n") != 1 {
				t.Errorf("%s is not in the output once", want)
			}
		}
		if len(strings.Fields(r.out)) != 6 || r.status != 0 {
			t.Errorf("status %d, %q, %s", r.status, r.out, r.err)
		}
		if r := try(t.Context(), f, "", "consume", "orders", "--offset", "-2", "-n", "4"); len(strings.Fields(r.out)) != 4 || r.status != 0 {
			t.Errorf("-n 4: status %d, %q, %s", r.status, r.out, r.err)
		}
	})
	if f.open != 0 {
		t.Errorf("%d clients and readers are still open", f.open)
	}
}

// fullWriter is /dev/full.
type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
}

func TestAFullDiskIsToldOnce(t *testing.T) {
	f := newFakeCluster()
	try(t.Context(), f, "", "topic", "create", "orders")
	try(t.Context(), f, strings.Repeat(strings.Repeat("x", 1000)+"\n", 200), "produce", "orders") // above the buffer
	synctest.Test(t, func(t *testing.T) {
		var errOut bytes.Buffer
		a := &app{in: strings.NewReader(""), out: fullWriter{}, errOut: &errOut, connect: f.connect, getenv: func(string) string { return "" }}
		status := execute(t.Context(), a, []string{"consume", "orders", "--offset", "start", "--exit-at-end"})
		if want := "brokerctl: write /dev/stdout: no space left on device\n"; status != 1 || errOut.String() != want {
			t.Errorf("status %d: %s", status, errOut.String())
		}
	})
}
