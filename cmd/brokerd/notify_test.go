package main

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestServiceManagerHearsOfStartReadinessAndStop(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs bytes.Buffer
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, []string{
			"--data-dir", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0",
			"--gossip-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
		}, []string{"NOTIFY_SOCKET=" + socket}, &out, &errs)
	}()
	heard := func() string {
		t.Helper()
		buf := make([]byte, 4096)
		n, err := l.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	if s := heard(); s != "READY=1" {
		t.Fatalf("the first message is %q", s)
	}
	for s := heard(); s != "STATUS=serving"; s = heard() {
		if !strings.HasPrefix(s, "STATUS=not serving yet: ") {
			t.Fatalf("heard %q before it serves", s)
		}
	}
	cancel()
	if s := heard(); !strings.HasPrefix(s, "STOPPING=1\nSTATUS=") {
		t.Fatalf("heard %q when it was to stop", s)
	}
	if s := <-status; s != 0 {
		t.Errorf("status %d: %s", s, errs.String())
	}
}

// A manager that has gone costs a line in the log and no more; the abstract namespace is spelled with an @.
func TestServiceManagerThatIsGoneIsNoError(t *testing.T) {
	var out, errs bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status := run(ctx, []string{
		"--data-dir", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0",
		"--gossip-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
	}, []string{"NOTIFY_SOCKET=@runnel/nobody/listens/here"}, &out, &errs)
	if status != 0 || !strings.Contains(errs.String(), "the service manager cannot be told") {
		t.Errorf("status %d: %s", status, errs.String())
	}
}
