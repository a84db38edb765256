package check

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

const version = "v0.0.0-check"

// built is one release for Linux on this processor, unpacked: what is checked is what users get.
type built struct {
	dist               string // archives and checksums.txt
	dir                string // an archive's content
	brokerd, brokerctl string
}

var work string // removed by TestMain

func TestMain(m *testing.M) {
	var err error
	if work, err = os.MkdirTemp("", "runnel-deploy"); err != nil {
		panic(err)
	}
	status := m.Run()
	_ = os.RemoveAll(work)
	os.Exit(status)
}

// platform is what the checks run on; a machine that is no Linux has no brokers.
const platform = "linux/amd64"

var buildOnce = sync.OnceValues(func() (built, error) {
	b := built{dist: filepath.Join(work, "dist"), dir: filepath.Join(work, "runnel-"+version+"-linux-amd64")}
	if out, err := release("../..", b.dist); err != nil {
		return b, fmt.Errorf("%w\n%s", err, out)
	}
	archive := filepath.Join(b.dist, filepath.Base(b.dir)+".tar.gz")
	if out, err := exec.Command("tar", "-xzf", archive, "-C", work).CombinedOutput(); err != nil {
		return b, fmt.Errorf("%w\n%s", err, out)
	}
	b.brokerd, b.brokerctl = filepath.Join(b.dir, "brokerd"), filepath.Join(b.dir, "brokerctl")
	return b, nil
})

// release runs deploy/release of a tree.
func release(tree, dist string, environ ...string) ([]byte, error) {
	cmd := exec.Command("deploy/release")
	cmd.Dir = tree
	cmd.Env = append(append(os.Environ(), "VERSION="+version, "PLATFORMS="+platform, "DIST="+dist), environ...)
	return cmd.CombinedOutput()
}

func programs(t *testing.T) built {
	t.Helper()
	b, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs a program without RUNNEL_ variables but the given ones, and answers both outputs.
func run(t *testing.T, dir string, environ []string, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RUNNEL_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, environ...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// loopback are arguments of a broker that gets whatever ports are free.
var loopback = []string{"--listen=127.0.0.1:0", "--peer-listen=127.0.0.1:0", "--gossip-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"}

// start runs a broker, calls f with its addresses for clients and HTTP once it listens, and answers how it ended after SIGTERM.
func start(t *testing.T, cmd *exec.Cmd, f func(client, http string)) error {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var address []string
	said := ""
	lines := bufio.NewScanner(stderr)
	for address == nil && lines.Scan() {
		said += lines.Text() + "\n"
		address = regexp.MustCompile(`msg=listening .* client=(\S+) .* http=(\S+)`).FindStringSubmatch(lines.Text())
	}
	drained := make(chan struct{})
	go func() { // ends with the broker
		defer close(drained)
		for lines.Scan() {
		}
	}()
	if address == nil {
		t.Errorf("the broker does not say where it listens:\n%s", said)
	} else {
		f(address[1], address[2])
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // one that has ended tells by Wait
	<-drained
	return cmd.Wait()
}
