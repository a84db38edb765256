package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A release is the same bytes wherever and whenever it is made: a second one from a copy of the tree in another folder, without its
// repository, by a user with another mask, has the same sums.
func TestReleaseIsReproducible(t *testing.T) {
	b := programs(t)
	first, err := os.ReadFile(filepath.Join(b.dist, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(t.TempDir(), "a", "copy")
	if err := os.MkdirAll(tree, 0o700); err != nil {
		t.Fatal(err)
	}
	copied := "git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C '" + tree + "'"
	if out, err := run(t, "../..", nil, "bash", "-euo", "pipefail", "-c", copied); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	git := func(args ...string) string {
		out, err := exec.Command("git", append([]string{"-C", "../.."}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	dist := filepath.Join(t.TempDir(), "dist")
	environ := []string{"SOURCE_DATE_EPOCH=" + git("log", "-1", "--format=%ct"), "COMMIT=" + git("rev-parse", "HEAD"), "GOAMD64=v3", "TZ=Asia/Tokyo"}
	if out, err := release(tree, dist, environ...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	second, err := os.ReadFile(filepath.Join(dist, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) || len(first) < 64 {
		t.Errorf("two builds differ:\n%s%s", first, second)
	}
	if out, err := run(t, b.dist, nil, "sha256sum", "--check", "--strict", "checksums.txt"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestReleaseSaysItsVersion(t *testing.T) {
	b := programs(t)
	commit, err := run(t, "../..", nil, "git", "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ program, want string }{
		{b.brokerd, "brokerd " + version + "\n"},
		{b.brokerctl, "brokerctl " + version + ", commit " + strings.TrimSpace(commit) + ", "},
	} {
		if out, err := run(t, "", nil, c.program, "--version"); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s lacks %q: %v", out, c.want, err)
		}
		if out, err := run(t, "", nil, "file", "--brief", c.program); err == nil && !strings.Contains(out, "statically linked") {
			t.Errorf("%s is not static: %s", c.program, out)
		}
	}
	for _, name := range []string{"LICENSE", "CHANGELOG.md", "systemd/brokerd.service", "systemd/brokerd.yaml"} {
		if _, err := os.Stat(filepath.Join(b.dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestReleaseRefusesWhatIsNoVersion(t *testing.T) {
	for _, v := range []string{"", "1.0.0", "v1", "latest", "v1.0.0; x"} {
		if out, err := release("../..", filepath.Join(t.TempDir(), "dist"), "VERSION="+v); err == nil {
			t.Errorf("%q was taken: %s", v, out)
		}
	}
}
