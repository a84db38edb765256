package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"
	"unicode/utf8"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// Config is everything a broker is told. Addresses are host:port.
type Config struct {
	DataDir                                      string
	Listen, PeerListen, GossipListen             string
	HTTPListen                                   string
	AdvertiseClient, AdvertisePeer               string // default: the address listened on
	AdvertiseGossip, AdvertiseHTTP               string
	Seeds                                        []string // gossip addresses; none: a cluster of one
	Rack                                         string
	Insecure                                     bool
	HTTPInsecure                                 bool // the HTTP address may be one that is not loopback
	TLS                                          TLS
	CertsEvery                                   time.Duration // how often the files of TLS are looked at; 0: 2 s
	MaxConnections                               int           // of clients; 0: 20,000
	FoundWait                                    time.Duration // rule 28
	SegmentBytes, TailBytes, ProduceBytes        int64         // 0: defaults
	DiskReserve                                  int64         // bytes
	ReplaceAfter                                 time.Duration // silence after which a broker's replicas are made anew; 0: 5 minutes
	RecoveryRate                                 int64         // bytes a second, sent and received to make replicas; 0: no limit
	RecoveryParallel                             int           // moves at a time in the cluster; 0: 8
	ManualPlacement                              bool          // moves nothing without being asked
	MuteAfterReturn                              time.Duration // for so long a broker that came back gets no leader; 0: the controller's default
	Reflection, Pprof                            bool
	PartitionMetrics, KafkaMetrics               bool // series for each partition, and under the names of kafka_exporter
	Log                                          *slog.Logger
	QuietLimits                                  bool               // says nothing of low limits: another broker of this process did
	Hooks                                        raftlog.Hooks      // tests break the disk here
	ControllerLog                                raftlog.LogOptions // 0: controller.LogOptions; tests make it small
	ControllerEvery                              time.Duration      // how often the controller is asked what replica of it to run; 0: 10 s
	HeartbeatInterval, SilentAfter, TickInterval time.Duration      // 0: defaults of multiraft
	LogLevel                                     slog.Level         // below it nothing goes to Log
	Settings                                     []Told             // as the broker was started with, for who asks; may be empty

	// Watch runs from when the broker listens until its stop begins, when ctx ends; ready is Broker.Ready. nil: nobody watches.
	Watch func(ctx context.Context, ready func() error)
}

// Told is a setting that the broker was started with.
type Told struct {
	Key, Value string
	// Source is where the value is from: default, file, variable or flag.
	Source string
	// Reload is when a change takes effect: AtRestart, AtRuntime or Watched.
	Reload string
}

const (
	// defaultTick is raft's tick. It times nothing that a client waits for: brokers watch each other by heartbeats each 100 ms
	// (rule 21), and a leader that waits in vain is helped after half a second. It is what thousands of idle partitions cost: at 500 ms a
	// thousand with three replicas took 13% of a core, at 2 s 8%, at 5 s 5.3%; with cheaper turns 3.4% at 10 s and 2.8% at 20 s, of which
	// 2.0 to 2.4% are the brokers' own heartbeats.
	defaultTick         = 20 * time.Second
	defaultTailBytes    = 128 << 20
	defaultProduceBytes = 64 << 20
	defaultReplaceAfter = 5 * time.Minute
	defaultParallel     = 8
)

// Validate reports all mistakes at once. Nothing has been touched when it fails.
func (c *Config) Validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("data.dir is empty: name a folder"))
	}
	errs = append(errs, c.TLS.check(), c.checkListeners())
	for _, a := range []struct{ key, addr string }{
		{"advertise.client", c.AdvertiseClient}, {"advertise.peer", c.AdvertisePeer},
		{"advertise.gossip", c.AdvertiseGossip}, {"advertise.http", c.AdvertiseHTTP},
	} {
		if a.addr == "" {
			continue
		}
		if _, err := checkAddr(a.addr, false); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.key, err))
		}
	}
	// What is listened on is told to others unless something else is to be told, so it must lead here from elsewhere.
	for _, a := range []struct{ key, listen, advertise string }{
		{"client", c.Listen, c.AdvertiseClient}, {"peer", c.PeerListen, c.AdvertisePeer},
		{"gossip", c.GossipListen, c.AdvertiseGossip}, {"http", c.HTTPListen, c.AdvertiseHTTP},
	} {
		told := a.advertise
		if told == "" {
			told = a.listen
		}
		if host, _, err := net.SplitHostPort(told); err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
			errs = append(errs, fmt.Errorf("advertise.%s: others cannot reach this broker at %q: set it to an address of this host", a.key, told))
		}
	}
	if !utf8.ValidString(c.Rack) {
		errs = append(errs, fmt.Errorf("rack: %q is no UTF-8 text", c.Rack))
	}
	seen := map[string]bool{}
	for _, s := range c.Seeds {
		if _, err := checkAddr(s, false); err != nil {
			errs = append(errs, fmt.Errorf("seeds: %w", err))
		}
		if seen[s] {
			errs = append(errs, fmt.Errorf("seeds: %s is named twice", s))
		}
		seen[s] = true
	}
	return errors.Join(errs...)
}

// version is set by the linker for releases.
var version = ""

// Version names the build: the release, else the commit.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "development"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "development-" + s.Value[:12]
		}
	}
	return "development"
}
