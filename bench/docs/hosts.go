package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

//go:embed ssh.sh
var sshScript string

//go:embed systemctl.sh
var systemctlScript string

// runuserScript runs a command as whoever runs this program: there is no user runnel here.
const runuserScript = "#!/bin/sh\n[ \"$1 $2 $3\" = '-u runnel --' ] || exit 1\nshift 3\nexec \"$@\"\n"

// mostHosts that a page may have.
const mostHosts = 9

// hosts are folders that stand for machines, and the programs that pretend it.
type hosts struct {
	dir  string // of this cluster
	bin  string // ssh, systemctl, runuser, brokerd, brokerctl
	net  string // "127.a.b.", single digits, in whose place the page has 10.0.10.
	envs string // file with what blocks have exported
}

// newHosts makes the folders below dir, and links the programs of ours that lie in programs.
func newHosts(dir, programs string, cluster int) (*hosts, error) {
	h := &hosts{
		dir: filepath.Join(dir, fmt.Sprintf("cluster-%d", cluster)), bin: filepath.Join(dir, fmt.Sprintf("bin-%d", cluster)),
	}
	var err error
	if h.net, err = freeNet(os.Getpid() + cluster); err != nil {
		return nil, err
	}
	h.envs = filepath.Join(h.dir, "exports")
	for n := 1; n <= mostHosts; n++ {
		for _, d := range []string{"etc", "var"} {
			if err := os.MkdirAll(filepath.Join(h.host(n), d), 0o700); err != nil {
				return nil, err
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(h.dir, "operator"), 0o700); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(h.bin, 0o700); err != nil {
		return nil, err
	}
	for _, p := range []string{"brokerd", "brokerctl"} {
		if err := os.Symlink(filepath.Join(programs, p), filepath.Join(h.bin, p)); err != nil {
			return nil, err
		}
	}
	return h, errors.Join(
		os.WriteFile(filepath.Join(h.bin, "ssh"), []byte(sshScript), 0o700), os.WriteFile(filepath.Join(h.bin, "systemctl"), []byte(systemctlScript), 0o700), os.WriteFile(filepath.Join(h.bin, "runuser"), []byte(runuserScript), 0o700),
		os.WriteFile(filepath.Join(h.bin, "journalctl"), []byte("#!/bin/sh\n"), 0o700), // the operator's machine has no broker
	)
}

// freeNet finds loopback addresses on which nobody listens. They are as long as those of the page, so that columns stay columns.
func freeNet(first int) (string, error) {
	const nets = 80
	for i := range nets {
		n := (first + i) % nets
		network := fmt.Sprintf("127.%d.%d.", 2+n/10, n%10)
		if isFree(network) {
			return network, nil
		}
	}
	return "", errors.New("somebody listens on port 7070 of all addresses from 127.2.0.1 to 127.9.9.1")
}

func isFree(network string) bool {
	for n := 1; n <= mostHosts; n++ {
		l, err := net.Listen("tcp", fmt.Sprintf("%s%d:7070", network, n))
		if err != nil {
			return false
		}
		if l.Close() != nil {
			return false
		}
	}
	return true
}

func (h *hosts) host(n int) string { return filepath.Join(h.dir, fmt.Sprintf("host-%d", n)) }

// file writes a file of the page to every host. The page has that of host-1: elsewhere its address is another, but in lists,
// which are the same everywhere.
func (h *hosts) file(path, text string) error {
	for n := 1; n <= mostHosts; n++ {
		var out []string
		for line := range strings.Lines(text) {
			if strings.Count(line, "10.0.10.") == 1 {
				line = strings.ReplaceAll(line, "10.0.10.1:", fmt.Sprintf("10.0.10.%d:", n))
			}
			out = append(out, line)
		}
		to := h.onHost(n, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(to, []byte(h.onHost(n, h.toReal(strings.Join(out, "")+"\n"))), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// toReal and toPage translate addresses.
func (h *hosts) toReal(s string) string { return strings.ReplaceAll(s, "10.0.10.", h.net) }

func (h *hosts) toPage(s string) string {
	s = strings.ReplaceAll(s, h.net, "10.0.10.")
	s = regexp.MustCompile(regexp.QuoteMeta(h.dir)+`/host-\d/etc`).ReplaceAllString(s, "/etc/runnel")
	s = regexp.MustCompile(regexp.QuoteMeta(h.dir)+`/host-\d/var`).ReplaceAllString(s, "/var/lib/runnel")
	return strings.ReplaceAll(s, filepath.Join(h.dir, "operator"), ".")
}

// onHost translates the paths of a host.
func (h *hosts) onHost(n int, s string) string {
	s = strings.ReplaceAll(s, "/etc/runnel", filepath.Join(h.host(n), "etc"))
	return strings.ReplaceAll(s, "/var/lib/runnel", filepath.Join(h.host(n), "var"))
}

// run has bash run commands in the operator's folder, with what earlier ones exported. It answers what they print, as the page would
// have it.
func (h *hosts) run(ctx context.Context, commands string) (string, error) {
	script := fmt.Sprintf("set -eu\n[ ! -e %[1]q ] || . %[1]q\n%[2]s\nexport -p > %[1]q\n", h.envs, h.toReal(commands))
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = filepath.Join(h.dir, "operator")
	cmd.Env = []string{"PATH=" + h.bin + ":" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "DOCS_DIR=" + h.dir, "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a block that hangs ends with all that it started, but for brokers
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	return h.toPage(string(out)), err
}

// stop kills the brokers that run.
func (h *hosts) stop() error {
	var errs []error
	for n := 1; n <= mostHosts; n++ {
		raw, err := os.ReadFile(filepath.Join(h.host(n), "pid"))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil || pid <= 1 {
			continue
		}
		// Only if it is one of ours still: a number may have been given to another process.
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.Contains(string(line), h.dir) {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
