package check

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The image is built from scratch, with no registry, and looked into: what it holds, who runs it, and that its programs run with nothing
// else around them.
func TestImageHoldsTwoProgramsAndRunsAsNobody(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: what buildah has built cannot be mounted and entered")
	}
	if _, err := exec.LookPath("buildah"); err != nil {
		t.Skip("buildah is not installed")
	}
	b := programs(t)
	store := []string{"CONTAINERS_STORAGE_CONF=" + filepath.Join(t.TempDir(), "storage.conf")}
	root := t.TempDir()
	conf := "[storage]\ndriver = \"vfs\"\nrunroot = \"" + root + "/run\"\ngraphroot = \"" + root + "/graph\"\n"
	if err := os.WriteFile(strings.TrimPrefix(store[0], "CONTAINERS_STORAGE_CONF="), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	buildah := func(args ...string) string {
		t.Helper()
		out, err := run(t, "", store, "buildah", args...)
		if err != nil {
			t.Fatalf("buildah %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(out)
	}
	const tag = "localhost/runnel:check"
	out, err := run(t, "../..", append(slices.Clone(store), "TOOL=buildah"), "deploy/image", b.brokerd, b.brokerctl, tag)
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 77 {
			t.Skip(out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	var image struct {
		OCIv1 struct {
			Config struct {
				User, WorkingDir, StopSignal string
				Env, Entrypoint, Cmd         []string
				ExposedPorts, Volumes        map[string]any
			} `json:"config"`
		}
	}
	if err := json.Unmarshal([]byte(buildah("inspect", "--type", "image", tag)), &image); err != nil {
		t.Fatal(err)
	}
	c := image.OCIv1.Config
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/usr/local/bin/brokerd"}) || len(c.Cmd) > 0 {
		t.Errorf("it runs %v %v as %q", c.Entrypoint, c.Cmd, c.User)
	}
	if _, ok := c.Volumes["/var/lib/runnel"]; !ok || !slices.Contains(c.Env, "RUNNEL_DATA_DIR=/var/lib/runnel") {
		t.Errorf("its data is at %v, volumes %v", c.Env, c.Volumes)
	}
	for _, p := range []string{"7070", "7071", "7072", "7072/udp", "7073"} {
		if _, ok := c.ExposedPorts[p]; !ok && c.ExposedPorts[p+"/tcp"] == nil {
			t.Errorf("port %s is not exposed: %v", p, c.ExposedPorts)
		}
	}
	container := buildah("from", "--pull-never", tag)
	top := buildah("mount", container)
	var files []string
	err = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(path, top))
		}
		return err
	})
	if err != nil || !slices.Equal(files, []string{"/etc/passwd", "/usr/local/bin/brokerctl", "/usr/local/bin/brokerd"}) {
		t.Errorf("it holds %v, %v", files, err)
	}
	inside := func(args ...string) (string, error) {
		return run(t, "", nil, "chroot", append([]string{"--userspec=65532:65532", top}, args...)...)
	}
	for _, program := range []string{"brokerd", "brokerctl"} {
		if out, err := inside("/usr/local/bin/"+program, "--version"); err != nil || !strings.Contains(out, version) {
			t.Errorf("%s: %v\n%s", program, err, out)
		}
	}
	// The broker itself, with nothing but the image around it, as the image's user: it writes to its volume's folder and serves.
	stop := start(t, exec.Command("chroot", append([]string{"--userspec=65532:65532", top, "/usr/local/bin/brokerd", "--data-dir=/var/lib/runnel"}, loopback...)...),
		func(_, address string) {
			if out, err := inside("/usr/local/bin/brokerd", "probe", "--wait", "1m", "http://"+address+"/readyz"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	if stop != nil {
		t.Errorf("after SIGTERM: %v", stop)
	}
	if info, err := os.Stat(filepath.Join(top, "var/lib/runnel/meta.db")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 65532 {
		t.Errorf("its data: %v", err)
	}
	buildah("umount", container)
	buildah("rm", container)
}

// The Dockerfile that builds from the source needs a registry and is not built here: what it makes is compared with the other, which is, and
// its build is deploy/build, as the release's.
func TestBothDockerfilesMakeTheSameImage(t *testing.T) {
	stage := func(file string) (lines []string) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, last, found := strings.Cut(string(raw), "\nFROM scratch\n")
		if !found {
			t.Fatalf("%s makes no image from scratch", file)
		}
		for line := range strings.Lines(last) {
			words := strings.Fields(line)
			if len(words) > 0 && words[0] == "COPY" { // of a copy the target and the owner count
				words = slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "--from=") })
				to := words[len(words)-1]
				words = slices.DeleteFunc(words[:len(words)-1], func(w string) bool { return w != "COPY" && !strings.HasPrefix(w, "--chown=") })
				words = append(words, to)
			}
			lines = append(lines, strings.Join(words, " "))
		}
		return lines
	}
	source, built := stage("../Dockerfile"), stage("../Dockerfile.built")
	if !slices.Equal(source, built) {
		t.Errorf("the images differ:\n%s\n\n%s", strings.Join(source, "\n"), strings.Join(built, "\n"))
	}
	raw, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), "deploy/build ${TARGETOS:-linux} ${TARGETARCH:-amd64} brokerd brokerctl") {
		t.Error("the Dockerfile does not build as the release does")
	}
}
