package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
)

func recoverRun(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(t.Context(), append([]string{"controller", "recover"}, args...), nil, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in:\n%s", w, text)
		}
	}
}

func TestControllerRecoverTouchesNothingItShouldNot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if status, _, errs := recoverRun(t, "--data-dir", dir); status != 1 {
		t.Errorf("status %d", status)
	} else {
		wantWords(t, errs, dir, "is no broker's data folder")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it made the folder")
	}
	_, _, errs := recoverRun(t, "--data-dir", dir, "--yes")
	wantWords(t, errs, "--accept-data-loss")
	_, _, errs = recoverRun(t)
	wantWords(t, errs, "data-dir")
}

func TestControllerRecoverShowsAsksAndRecovers(t *testing.T) {
	c := brokertest.Start(t, 3)
	dir, at := c.Config(3).DataDir, c.Config(1).PeerListen
	c.Eventually(func() bool { // that each knows the others as voters
		if status, _, errs := recoverRun(t, "--data-dir", dir); status != 1 || !strings.Contains(errs, "stop the broker first") {
			t.Fatalf("a folder in use: status %d, %s", status, errs)
		}
		return c.Broker(3).Ready() == nil
	}, func() string { return "ready" })
	for n := 1; n <= 3; n++ {
		c.StopBroker(n)
	}
	status, out, errs := recoverRun(t, "--data-dir", dir)
	if status != 0 || errs != "" {
		t.Fatalf("status %d: %s", status, errs)
	}
	wantWords(t, out, "cluster ", "its replica", "last entry ", "3 brokers: 1, 2, 3", "0 topics", at, "voter", "nothing was recovered")
	// Without a terminal nobody consents by accident.
	status, _, errs = recoverRun(t, "--data-dir", dir, "--accept-data-loss")
	if status != 1 {
		t.Errorf("it did it without being told")
	}
	wantWords(t, errs, "say so with --yes")
	if _, again, _ := recoverRun(t, "--data-dir", dir); again != out {
		t.Errorf("what is there changed:\n%s\n%s", out, again)
	}
	status, out, errs = recoverRun(t, "--data-dir", dir, "--accept-data-loss", "--yes", "--note", "the test")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	wantWords(t, out, "recovered: broker ")
	status, out, _ = recoverRun(t, "--data-dir", dir)
	if status != 0 {
		t.Errorf("status %d", status)
	}
	wantWords(t, out, "No other replica votes")
	if status, _, errs = recoverRun(t, "--data-dir", dir, "--accept-data-loss", "--yes"); status != 1 {
		t.Error("it was recovered twice")
	}
	wantWords(t, errs, "start the broker")
}
