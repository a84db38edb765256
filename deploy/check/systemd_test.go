package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const unit = "../systemd/brokerd.service"

// exposure is what systemd-analyze security may say at most, of 100. Most of what is left is the network, which a broker needs.
const exposure = "15"

func analyze(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
}

// verified is what systemd-analyze says of the unit with an edit, on a copy that starts the program that was built.
func verified(t *testing.T, old, new string) string {
	t.Helper()
	raw, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(raw), old, new, 1)
	if old != "" && text == string(raw) {
		t.Fatalf("there is no %q to break", old)
	}
	text = strings.Replace(text, "/usr/local/bin/brokerd", programs(t).brokerd, 1)
	file := filepath.Join(t.TempDir(), "brokerd.service")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "", nil, "systemd-analyze", "verify", file)
	if err != nil {
		out += err.Error()
	}
	if said, err := run(t, "", nil, "systemd-analyze", "security", "--offline=true", "--threshold="+exposure, "--no-pager", file); err != nil {
		lines := strings.Split(strings.TrimSpace(said), "\n")
		out += lines[len(lines)-1]
	}
	return out
}

func TestUnitIsTakenBySystemd(t *testing.T) {
	analyze(t)
	if said := verified(t, "", ""); said != "" {
		t.Error(said)
	}
	for _, c := range []struct{ old, new, want string }{
		{"RestrictAddressFamilies=", "RestrictAdressFamilies=", "Unknown key"},
		{"Type=notify", "Type=notifier", "Failed to parse service type"},
		{"ExecStart=/usr", "ExecStart=/usr/bin", "not executable"},
		{"TimeoutStopSec=30s", "TimeoutStopSec=soon", "Failed to parse"},
		{"NoNewPrivileges=yes\nCapabilityBoundingSet=\n", "", "exposure level"},
	} {
		if said := verified(t, c.old, c.new); !strings.Contains(said, c.want) {
			t.Errorf("%q for %q: %q is not said, but %q", c.new, c.old, c.want, said)
		}
	}
}

// key gives a setting of the unit.
func key(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(string(raw), -1)
	if len(m) != 1 {
		t.Fatalf("the unit has %d lines %s=", len(m), name)
	}
	return m[0][1]
}

func TestUnitGivesTheBrokerWhatItNeeds(t *testing.T) {
	stop, err := time.ParseDuration(key(t, "TimeoutStopSec"))
	if err != nil || stop <= 10*time.Second {
		t.Errorf("the broker takes up to 10 s to stop, systemd kills it after %s", stop)
	}
	example, err := filepath.Abs("../systemd/brokerd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	have := settings(t, nil, "--config", example)
	if dir := "/var/lib/" + key(t, "StateDirectory"); have["data.dir"] != dir {
		t.Errorf("the broker writes to %v, the unit lets it write to %s", have["data.dir"], dir)
	}
	if start := key(t, "ExecStart"); start != "/usr/local/bin/brokerd --config /etc/runnel/brokerd.yaml" {
		t.Errorf("ExecStart is %s: the README installs another", start)
	}
	seeds := have["seeds"].([]any)
	if len(seeds) != 3 || seeds[0] != have["gossip.listen"] {
		t.Errorf("the example is of no host that founds: %v", have)
	}
}

// What the example says of certificates holds when its comments are made settings.
func TestExampleWithCertificatesIsTaken(t *testing.T) {
	raw, err := os.ReadFile("../systemd/brokerd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^# ((tls|gossip|http)\.\S+: )`).ReplaceAllString(string(raw), "$1")
	text = strings.Replace(text, "\ninsecure: true\n", "\n", 1)
	file := filepath.Join(t.TempDir(), "brokerd.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	have := settings(t, nil, "--config", file)
	if have["insecure"] != false || have["http.insecure"] != true || have["gossip.key.file"] != "/etc/runnel/gossip.key" || have["tls.peer.ca"] == "" {
		t.Errorf("%v", have)
	}
}

// allowed are the system calls that a filter lets through, its groups opened.
func allowed(t *testing.T) map[string]bool {
	t.Helper()
	groups := map[string][]string{}
	out, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager").Output()
	if err != nil {
		t.Fatal(err)
	}
	group := ""
	for line := range strings.Lines(string(out)) {
		name := strings.TrimSpace(line)
		switch {
		case name == "" || strings.HasPrefix(name, "#"):
		case strings.HasPrefix(line, "@"):
			group = name
		default:
			groups[group] = append(groups[group], name)
		}
	}
	var open func(name string) []string
	open = func(name string) []string {
		if !strings.HasPrefix(name, "@") {
			return []string{name}
		}
		if len(groups[name]) == 0 {
			t.Fatalf("systemd knows no group %s", name)
		}
		var out []string
		for _, g := range groups[name] {
			out = append(out, open(g)...)
		}
		return out
	}
	raw, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	may := map[string]bool{}
	for _, c := range open("@default") { // systemd always adds it
		may[c] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(string(raw), -1) {
		for _, name := range strings.Fields(m[2]) {
			for _, c := range open(name) {
				may[c] = m[1] == ""
			}
		}
	}
	return may
}

// The broker is traced (-D: it is the child, and gets the signal) while it takes and serves records, and each system call that it made must be one that the unit allows.
func TestUnitAllowsEverySystemCallOfTheBroker(t *testing.T) {
	analyze(t)
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	b := programs(t)
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	args := append([]string{"-D", "-f", "-qq", "-o", trace, b.brokerd, "--data-dir", filepath.Join(dir, "data")}, loopback...)
	args = append(args, "--segment-bytes=1MiB")
	err := start(t, exec.Command("strace", args...), func(client, address string) {
		if said, err := run(t, dir, nil, b.brokerd, "probe", "--wait", "1m", "http://"+address+"/readyz"); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		for _, line := range []string{
			"topic create orders --partitions 3 --replication-factor 1", "bench produce --topic orders --records 4000 --record-size 1024",
			"topic describe orders", "cluster status", "topic delete orders --yes",
		} {
			if said, err := run(t, dir, []string{"RUNNEL_BROKERS=" + client}, b.brokerctl, strings.Fields(line)...); err != nil {
				t.Errorf("brokerctl %s: %v\n%s", line, err, said)
			}
		}
	})
	if err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	raw, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	may, seen := allowed(t), map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\d+ +([a-z_0-9]+)\(`).FindAllStringSubmatch(string(raw), -1) {
		seen[m[1]] = true
	}
	for _, sure := range []string{"fdatasync", "mmap", "accept4", "epoll_pwait", "renameat"} {
		if !seen[sure] {
			t.Errorf("the broker never called %s: the trace shows too little", sure)
		}
	}
	for c := range seen {
		if !may[c] {
			t.Errorf("the unit forbids %s, which the broker calls", c)
		}
	}
}
