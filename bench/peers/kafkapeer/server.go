package kafkapeer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/runnel-io/runnel/bench/peers/system"
)

// hosts of the brokers: see system.Host.
const hosts = 20

// New answers Kafka, with an fsync of each append or with its default, none.
func New(flush bool) system.Kind { return &kind{flush: flush} }

type kind struct {
	flush bool
	jars  string
}

func (k *kind) Name() string {
	if k.flush {
		return "kafka-flush-1"
	}
	return "kafka-default"
}

// JVM settings: the heap and collector of Kafka's own start script.
var jvm = []string{"-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
	"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
	"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"}

func (k *kind) Strict() bool { return k.flush }

func (k *kind) Settings() map[string]string {
	s := map[string]string{
		"brokers": "3, each broker and controller (KRaft)", "replication factor": "3", "min.insync.replicas": "2",
		"flush.messages": "default (never)", "jvm": strings.Join(jvm[:4], " "), "broker.session.timeout.ms": "default (9 s)",
	}
	if k.flush {
		s["flush.messages"] = "1"
	}
	return s
}

func (k *kind) Options() []system.Option { return options() }

// pom asks for the newest release with its dependencies, and a logger that writes to standard error.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>peers</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>[4,)</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

// Fetch resolves the newest release. Without a network the one that an earlier run fetched serves.
func (k *kind) Fetch(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "kafka")
	k.jars = filepath.Join(dir, "jars")
	fresh := filepath.Join(dir, "fresh")
	fetchErr := func() error {
		if err := os.RemoveAll(fresh); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom), 0o644); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+fresh)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("mvn: %w: %.300s", err, out)
		}
		if err := os.RemoveAll(k.jars); err != nil {
			return err
		}
		return os.Rename(fresh, k.jars)
	}()
	if _, err := exec.LookPath("java"); err != nil {
		return "", err
	}
	version, err := versionOf(k.jars)
	if err != nil {
		return "", errors.Join(fetchErr, err)
	}
	return version, nil
}

// versionOf finds the release in the broker's jar name.
func versionOf(jars string) (string, error) {
	const prefix = "kafka_2.13-"
	found, err := filepath.Glob(filepath.Join(jars, prefix+"*.jar"))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%d Kafka jars in %s, want one", len(found), jars)
	}
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), prefix), ".jar"), nil
}

func (k *kind) java(class string, args ...string) []string {
	return append(append(append([]string{}, jvm...), "-cp", filepath.Join(k.jars, "*"), class), args...)
}

func (k *kind) Start(ctx context.Context, dir string) (servers system.Servers, err error) {
	var ps system.Processes
	defer func() {
		if err != nil {
			err = errors.Join(err, ps.Stop())
		}
	}()
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[0] &= 0x7f           // the id must not begin with a dash
	cluster := base64.RawURLEncoding.EncodeToString(id[:])
	var wg sync.WaitGroup
	var formatted [3]error
	for i := 1; i <= 3; i++ {
		config := filepath.Join(dir, fmt.Sprintf("broker-%d.properties", i))
		if err := os.WriteFile(config, []byte(k.config(dir, i)), 0o644); err != nil {
			return nil, errors.Join(err, wait(&wg, formatted[:]))
		}
		wg.Go(func() {
			out, err := exec.CommandContext(ctx, "java", k.java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", config)...).CombinedOutput()
			if err != nil {
				formatted[i-1] = fmt.Errorf("formatting the storage of broker %d: %w\n%s", i, err, out)
			}
		})
	}
	if err := wait(&wg, formatted[:]); err != nil {
		return nil, err
	}
	for i := 1; i <= 3; i++ {
		config := filepath.Join(dir, fmt.Sprintf("broker-%d.properties", i))
		p, err := system.Run(address(i), filepath.Join(dir, fmt.Sprintf("broker-%d.log", i)), "java", k.java("kafka.Kafka", config)...)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	for i, p := range ps {
		dialer := net.Dialer{Timeout: time.Second}
		err := system.Poll(ctx, p.Done(), 100*time.Millisecond, func() error {
			c, err := dialer.DialContext(ctx, "tcp", p.Address)
			if err != nil {
				return err
			}
			return c.Close()
		})
		if err != nil {
			return nil, fmt.Errorf("broker %d does not get ready: %w; its log:\n%s", i+1, err, p.Tail())
		}
	}
	return ps, nil
}

func wait(wg *sync.WaitGroup, errs []error) error {
	wg.Wait()
	return errors.Join(errs...)
}

func address(broker int) string { return system.Host(hosts, broker) + ":9092" }

// config of one broker.
func (k *kind) config(dir string, broker int) string {
	host := system.Host(hosts, broker)
	var voters []string
	for i := 1; i <= 3; i++ {
		voters = append(voters, fmt.Sprintf("%d@%s:9093", i, system.Host(hosts, i)))
	}
	lines := []string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", broker),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=PLAINTEXT://%s:9092,CONTROLLER://%s:9093", host, host),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://%s:9092", host),
		"controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=PLAINTEXT",
		"log.dirs=" + filepath.Join(dir, fmt.Sprintf("broker-%d", broker)),
		"default.replication.factor=3",
		"min.insync.replicas=2",
		"auto.create.topics.enable=false",
		"offsets.topic.replication.factor=3",
		// Topics of rows that are over give their space back at once.
		"log.segment.delete.delay.ms=1000",
	}
	if k.flush {
		lines = append(lines, "log.flush.interval.messages=1")
	}
	return strings.Join(lines, "\n") + "\n"
}
