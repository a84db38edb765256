package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/value"
)

// checked runs check-config and answers what it printed.
func checked(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(t.Context(), append([]string{"check-config"}, args...), os.Environ(), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// tree lists what is in a folder, with times: what a check must not change.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			b.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCheckConfigSaysThatABrokerWouldStartAndTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "runnel.yaml")
	text := "data.dir: " + filepath.Join(dir, "deep", "data") + "\ndisk.reserve.bytes: 1MiB\nrack: a\nseeds: ['127.0.0.1:7072', 'no.such.name.invalid:7072']\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RUNNEL_RACK", "b")
	t.Setenv("RUNNEL_RAKC", "c")
	before := tree(t, dir)
	status, out, errs := checked(t, "--config", file, "--log-level", "debug")
	if status != 0 || errs != "" {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	wantWords(t, out, "5 of ", "3 by the file, 1 by variables, 1 by flags", "is not there and will be made", "1 MiB are the reserve", "127.0.0.1:7073 is an address of this host",
		"the names of 1 of 2 are known", "no.such.name.invalid:7072 is not known now", "RUNNEL_RAKC is no setting; did you mean \"RUNNEL_RACK\"?", "brokerd would start with these settings; ")
	if after := tree(t, dir); after != before {
		t.Errorf("it changed\n%s\nto\n%s", before, after)
	}
}

func TestCheckConfigSaysEveryMistakeAtOnce(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"runnel.yaml": "lissten: x\nsegment.bytes: lots\n", "taken": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, out, errs := checked(t, "--config", filepath.Join(dir, "runnel.yaml"), "--data-dir", filepath.Join(dir, "taken", "data"), "--log-level", "loud", "--log-format", "xml",
		"--peer-listen", "127.0.0.1:7070", "--gossip-listen", "192.0.2.1:7072", "--insecure")
	if status != 1 {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	wantWords(t, out, `unknown key "lissten"; did you mean "listen"?`, `segment.bytes: "lots" is no size`, `log.level: "loud" is not one of`, `log.format: "xml" is not one of text, json`,
		filepath.Join(dir, "taken", "data")+": not a directory", "127.0.0.1:7070 is listen too", "this host cannot listen on 192.0.2.1:7072")
	wantWords(t, errs, "there are 7 mistakes, see above")
	if strings.Contains(out, "would start") {
		t.Error(out)
	}
}

func TestCheckConfigLooksAtTheFolderAndItsRoom(t *testing.T) {
	dir := t.TempDir()
	status, out, _ := checked(t, "--data-dir", dir, "--disk-reserve-bytes", "100000TiB")
	if status != 0 { // it starts, so that retention can free the disk
		t.Errorf("status %d: %s", status, out)
	}
	wantWords(t, out, "holds no broker's data yet", "below disk.reserve.bytes", "refuses records")
	status, out, _ = checked(t, "--config", filepath.Join(dir, "none.yaml"))
	if status != 1 {
		t.Errorf("status %d: %s", status, out)
	}
	wantWords(t, out, "cannot read the configuration")
	if os.Geteuid() == 0 {
		return // who may write everywhere cannot be refused
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if status, out, _ = checked(t, "--data-dir", filepath.Join(dir, "data")); status != 1 {
		t.Errorf("status %d: %s", status, out)
	}
	wantWords(t, out, "cannot be made: this user cannot write to "+dir)
}

func TestCheckConfigReadsTheFilesThatSettingsName(t *testing.T) {
	dir := t.TempDir()
	was := settings
	t.Cleanup(func() { settings = was })
	for _, key := range []string{"x.file", "x.folder", "x.none"} {
		settings = append(settings[:len(settings):len(settings)], setting{key, "", "a file", value.File, watched})
	}
	file := filepath.Join(dir, "here")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, _ := checked(t, "--data-dir", dir, "--disk-reserve-bytes", "0", "--x-file", file, "--x-folder", dir, "--x-none", filepath.Join(dir, "none"))
	if status != 1 {
		t.Errorf("status %d", status)
	}
	wantWords(t, out, file+" can be read", dir+" is a folder, a file is meant", filepath.Join(dir, "none")+": no such file")
}
