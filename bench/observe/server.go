package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// shortened is what alerts' waits are divided by, so that five minutes are five seconds.
const shortened = 60

// server is a running Prometheus.
type server struct {
	url, dir string
	cmd      *exec.Cmd
	done     chan struct{}
}

// startPrometheus starts one with the configuration of a folder: scrapes each second, waits of alerts shortened, and the brokers' addresses in
// its list of targets.
func startPrometheus(ctx context.Context, dir, config string, targets []string) (*server, error) {
	s := &server{dir: dir, done: make(chan struct{})}
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(filepath.Join(dir, "targets"), 0o755), s.targets(targets)); err != nil {
		return nil, err
	}
	for name, change := range map[string]func(*yaml.Node) error{"prometheus.yml": quicken, "alerts.yml": shorten} {
		if err := rewrite(filepath.Join(config, name), filepath.Join(dir, name), change); err != nil {
			return nil, err
		}
	}
	log, err := os.Create(filepath.Join(dir, "prometheus.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own descriptor
	// An address of its own, as the brokers have theirs.
	host := fmt.Sprintf("127.%d.%d.200:9090", 64+os.Getpid()>>8&63, os.Getpid()&255)
	s.url = "http://" + host
	s.cmd = exec.Command("prometheus", "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", host, "--log.level", "warn")
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = log, log, dir
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process, which stop ends
		_ = s.cmd.Wait() // how it ended: its log tells
		close(s.done)
	}()
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/-/ready", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-s.done:
			return fmt.Errorf("prometheus ended: %s", s.log())
		case <-ctx.Done():
			return fmt.Errorf("prometheus is not ready: %w: %s", ctx.Err(), s.log())
		}
	}
}

func (s *server) log() string {
	raw, err := os.ReadFile(filepath.Join(s.dir, "prometheus.log"))
	return strings.TrimSpace(string(raw)) + errText(err)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() }) // it may be gone
	defer late.Stop()
	<-s.done
	return nil
}

// targets writes the list of addresses, which Prometheus reads when it changes.
func (s *server) targets(addresses []string) error {
	text, err := yaml.Marshal([]map[string][]string{{"targets": addresses}})
	if err != nil {
		return err
	}
	// In one step: half a file would be read.
	name := filepath.Join(s.dir, "targets", "brokers.yml")
	if err := os.WriteFile(name+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// rewrite copies a file of YAML with changes.
func rewrite(from, to string, change func(*yaml.Node) error) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if err := change(doc.Content[0]); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	out, err := yaml.Marshal(&doc)
	if err != nil {
		return err
	}
	return os.WriteFile(to, out, 0o644)
}

// quicken has Prometheus scrape and evaluate each second.
func quicken(doc *yaml.Node) error {
	for _, key := range []string{"scrape_interval", "scrape_timeout", "evaluation_interval"} {
		v := at(at(doc, "global"), key)
		if v == nil {
			return fmt.Errorf("global has no %s", key)
		}
		v.Value = "1s"
	}
	return nil
}

// shorten divides the waits of all alerts.
func shorten(doc *yaml.Node) error {
	return eachRule(doc, func(rule *yaml.Node) error {
		wait := at(rule, "for")
		d, err := time.ParseDuration(wait.Value)
		wait.Value = fmt.Sprintf("%dms", (d / shortened).Milliseconds())
		return err
	})
}

// at is a value of a map; nil if it has no such key.
func at(m *yaml.Node, key string) *yaml.Node {
	if m == nil {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}
