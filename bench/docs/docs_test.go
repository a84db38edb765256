package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const page = `# A page

<!-- cluster: three hosts -->
<!-- file: /etc/runnel/x.yaml -->
` + "```yaml" + `
listen: 10.0.10.1:7070
seeds: 10.0.10.1:7072,10.0.10.2:7072
` + "```" + `

Words.

` + "```sh" + `
brokerctl topic list
` + "```" + `
` + "```text" + `
old
older
` + "```" + `

<!-- fails -->
` + "```sh" + `
false
` + "```" + `
`

func TestBlocksHaveTheirMarksAndTheirOutput(t *testing.T) {
	blocks, err := parse(page)
	if err != nil || len(blocks) != 3 {
		t.Fatalf("%v, %d blocks", err, len(blocks))
	}
	if b := blocks[0]; b.lang != "yaml" || b.marks["cluster"] != "three hosts" || b.marks["file"] != "/etc/runnel/x.yaml" {
		t.Errorf("%+v", b)
	}
	if b := blocks[1]; b.text != "brokerctl topic list" || b.want(page) != "old\nolder" || len(b.marks) != 0 {
		t.Errorf("%+v, wants %q", b, b.want(page))
	}
	if _, ok := blocks[2].marks["fails"]; !ok || blocks[2].to != 0 {
		t.Errorf("%+v", blocks[2])
	}
	again := replace(page, blocks, map[*block]string{blocks[1]: "new\n", blocks[2]: "not asked for"})
	if again != strings.Replace(page, "old\nolder", "new", 1) {
		t.Errorf("%s", again)
	}
	empty := "```sh\nx\n```\n```text\n```\nWords.\n"
	if blocks, err = parse(empty); err != nil {
		t.Fatal(err)
	}
	if again := replace(empty, blocks, map[*block]string{blocks[0]: "y\n"}); again != strings.Replace(empty, "text\n", "text\ny\n", 1) {
		t.Errorf("%s", again)
	}
	for _, broken := range []string{"```sh\nx\n", "```text\nx\n```\n", "```sh\nx\n```\n```text\ny\n```\n```text\ny\n```\n"} {
		if _, err := parse(broken); err == nil {
			t.Errorf("%q is taken", broken)
		}
	}
}

func TestNumbersMayDifferAndWordsMayNot(t *testing.T) {
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"ID  ADDRESS\n 1  10.0.10.1:7070  yes  12", "ID ADDRESS\n 2  10.0.10.2:7070   yes  1,200", true},
		{"cluster qUz3sWv1AAAA, took 1.2s of 3m0s", "cluster xxxx-yyyyyyy, took 300ms of 1h2m3s", true},
		{"broker 1 runs development-0123456789ab", "broker 3 runs v1.2.0", true},
		{"written: runnel-doctor-20261126T054000Z.tar.gz, 1.2 MiB", "written: runnel-doctor-20271126T054000Z.tar.gz, 95 KiB", true},
		{"alive  yes", "alive  no", false},
		{"a\nb", "a", false},
		{"a", "a\nb", false},
		{"a\n...", "a\nb\nc", true},
		{"a\n...\nd", "a\nb\nc\nd", true},
		{"a\n...\nd", "a\nb\nc", false},
		{"", "", true},
		{"", "oh", false},
	} {
		if err := differs(c.want, c.got); (err == nil) != c.same {
			t.Errorf("%q and %q: %v", c.want, c.got, err)
		}
	}
}

func TestAFileIsWrittenWithEachHostsOwnAddress(t *testing.T) {
	h, err := newHosts(t.TempDir(), t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.file("/etc/runnel/x.yaml", "listen: 10.0.10.1:7070\nseeds: 10.0.10.1:7072,10.0.10.2:7072\ndata.dir: /var/lib/runnel"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(h.host(3), "etc", "x.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := "listen: " + h.net + "3:7070\nseeds: " + h.net + "1:7072," + h.net + "2:7072\ndata.dir: " + h.host(3) + "/var\n"
	if string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	if back := h.toPage(string(text)); back != "listen: 10.0.10.3:7070\nseeds: 10.0.10.1:7072,10.0.10.2:7072\ndata.dir: /var/lib/runnel\n" {
		t.Errorf("%s", back)
	}
}

// TestACommandThatFailsOrPrintsSomethingElseIsFound runs blocks without brokers.
func TestACommandThatFailsOrPrintsSomethingElseIsFound(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	for name, c := range map[string]struct{ text, err string }{
		"right":               {"<!-- cluster: x -->\n```sh\nexport A=7\n```\n```sh\necho $A\n```\n```text\n9\n```\n", ""},
		"other words":         {"<!-- cluster: x -->\n```sh\necho b\n```\n```text\na\n```\n", "where the page has"},
		"fails":               {"<!-- cluster: x -->\n```sh\nfalse\n```\n", "exit status 1"},
		"fails in the middle": {"<!-- cluster: x -->\n```sh\nfalse\necho\n```\n", "exit status 1"},
		"should fail":         {"<!-- cluster: x -->\n<!-- fails -->\n```sh\ntrue\n```\n", "says that it fails"},
		"does fail":           {"<!-- cluster: x -->\n<!-- fails -->\n```sh\necho no; exit 3\n```\n```text\nno\n```\n", ""},
		"nothing":             {"<!-- cluster: x -->\n<!-- not run: why -->\n```sh\nfalse\n```\n", "no command"},
		"a host":              {"<!-- cluster: x -->\n```sh\nssh host-2 'echo /etc/runnel $DOCS_HOST'\n```\n```text\n/etc/runnel 2\n```\n", ""},
	} {
		blocks, err := parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = runBlocks(t.Context(), t.TempDir(), t.TempDir(), c.text, blocks, false)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
	}
}
