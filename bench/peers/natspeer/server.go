package natspeer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/peers/system"
)

// hosts of the servers: see system.Host.
const hosts = 10

// New answers NATS, with an fsync before each acknowledgement or with its default, one every two minutes.
func New(always bool) system.Kind { return &kind{always: always} }

type kind struct {
	always  bool
	program string
}

func (k *kind) Name() string {
	if k.always {
		return "nats-always"
	}
	return "nats-default"
}

func (k *kind) Strict() bool { return k.always }

func (k *kind) Settings() map[string]string {
	s := map[string]string{"servers": "3", "streams": "R3, file", "sync_interval": "default (2m)", "GOGC": "default"}
	if k.always {
		s["sync_interval"] = "always"
	}
	return s
}

func (k *kind) Options() []system.Option { return options() }

// Fetch installs the newest release. Without a network the one that an earlier run installed serves.
func (k *kind) Fetch(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "nats")
	k.program = filepath.Join(dir, "nats-server")
	cmd := exec.CommandContext(ctx, "go", "install", "github.com/nats-io/nats-server/v2@latest")
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	out, installErr := cmd.CombinedOutput()
	version, err := exec.CommandContext(ctx, k.program, "--version").Output()
	if err != nil {
		return "", errors.Join(fmt.Errorf("cannot install nats-server: %w: %s", installErr, lastLine(out)), err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(version)), "nats-server: "), nil
}

func lastLine(b []byte) string {
	s := strings.TrimSpace(string(b))
	return s[strings.LastIndexByte(s, '\n')+1:]
}

func (k *kind) Start(ctx context.Context, dir string) (servers system.Servers, err error) {
	var ps system.Processes
	defer func() {
		if err != nil {
			err = errors.Join(err, ps.Stop())
		}
	}()
	for i := 1; i <= 3; i++ {
		config := filepath.Join(dir, fmt.Sprintf("server-%d.conf", i))
		if err := os.WriteFile(config, []byte(k.config(dir, i)), 0o644); err != nil {
			return nil, err
		}
		p, err := system.Run(address(i), filepath.Join(dir, fmt.Sprintf("server-%d.log", i)), k.program, "--config", config)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	for i, p := range ps {
		url := fmt.Sprintf("http://%s:8222/healthz", system.Host(hosts, i+1))
		if err := system.Poll(ctx, p.Done(), 50*time.Millisecond, func() error { return healthy(ctx, url) }); err != nil {
			return nil, fmt.Errorf("server %d does not get ready: %w; its log:\n%s", i+1, err, p.Tail())
		}
	}
	return ps, nil
}

func address(server int) string { return system.Host(hosts, server) + ":4222" }

// config of one server.
func (k *kind) config(dir string, server int) string {
	host := system.Host(hosts, server)
	var routes []string
	for i := 1; i <= 3; i++ {
		routes = append(routes, fmt.Sprintf("nats://%s:6222", system.Host(hosts, i)))
	}
	sync := ""
	if k.always {
		sync = "sync_interval: always, "
	}
	return fmt.Sprintf(`server_name: s%d
listen: "%s:4222"
http: "%s:8222"
jetstream: { %sstore_dir: %q, max_file_store: 60GB }
cluster: { name: peers, listen: "%s:6222", routes: [%q, %q, %q] }
`, server, host, host, sync, filepath.Join(dir, fmt.Sprintf("server-%d", server)), host, routes[0], routes[1], routes[2])
}

func healthy(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", text)
	}
	return err
}
