package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/value"
)

// A setting has one name in three spellings: key data.dir, flag --data-dir, variable RUNNEL_DATA_DIR.
type setting struct {
	key   string
	value any // default; its type is the setting's
	help  string
	kind  value.Kind // what it may hold
	takes reload     // when a change takes effect
}

// reload is when a change of a setting takes effect.
type reload string

const (
	restart reload = broker.AtRestart // at the next start
	runtime reload = broker.AtRuntime // at once, through the controller: brokerctl cluster config, brokerctl broker config
	watched reload = broker.Watched   // by itself when the file changes, and the name of the file at the next start
)

// settings lists every setting of brokerd. Order: as --print-config and --help show them. deploy/CONFIGURATION.md is made of it.
var settings = []setting{
	{"data.dir", "./runnel-data", "folder of this broker's data", value.Folder, restart},
	{"listen", "127.0.0.1:7070", "address for clients and brokerctl", value.Address, restart},
	{"peer.listen", "127.0.0.1:7071", "address for other brokers", value.Address, restart},
	{"gossip.listen", "127.0.0.1:7072", "address for gossip (TCP and UDP)", value.Address, restart},
	{"http.listen", "127.0.0.1:7073", "address for /metrics, /healthz and /readyz", value.Address, restart},
	{"advertise.client", "", "client address that others are told (default: the one listened on)", value.Address, restart},
	{"advertise.peer", "", "peer address that other brokers are told", value.Address, restart},
	{"advertise.gossip", "", "gossip address that other brokers are told", value.Address, restart},
	{"advertise.http", "", "HTTP address that others are told", value.Address, restart},
	{"seeds", []string{}, "gossip addresses of the brokers that found the cluster, comma-separated; the same list everywhere", value.Addresses, restart},
	{"rack", "", "name of this broker's rack or zone", value.Text, restart},
	{"rackfile", "", "file whose one line is the rack, instead of rack", value.File, restart}, // not rack.file: rack is a value, and holds no keys
	{"insecure", false, "allow addresses that are not loopback although traffic is neither encrypted nor authenticated", value.Switch, restart},
	{"http.insecure", false, "allow http.listen to be an address that is not loopback, although it is plain HTTP and answers whoever asks", value.Switch, restart},
	{"tls.client.cert", "", "the certificate that clients see; with tls.client.key it turns TLS on for them", value.File, watched},
	{"tls.client.key", "", "the key of tls.client.cert", value.File, watched},
	{"tls.client.ca", "", "the CAs of clients' certificates", value.File, watched},
	{"tls.client.auth", broker.AuthRequire, "with TLS for clients: require a certificate of tls.client.ca, or none", value.Choice(broker.AuthRequire, broker.AuthNone), restart},
	{"tls.peer.cert", "", "this broker's certificate for other brokers; with tls.peer.key and tls.peer.ca it turns mutual TLS on between brokers", value.File, watched},
	{"tls.peer.key", "", "the key of tls.peer.cert", value.File, watched},
	{"tls.peer.ca", "", "the CAs of brokers' certificates", value.File, watched},
	{"gossip.key.file", "", "keys of AES in base64, one a line: the first encrypts gossip, all decrypt; the same everywhere", value.File, watched},
	{"client.connections.max", 20000, "clients' connections at once; one more is refused", value.Number(1, 1_000_000), restart},
	{"cluster.found.wait", 10 * time.Second, "how long the founding of a cluster waits for a broker that already knows one", value.Duration(0), restart},
	{"segment.bytes", int64(256 << 20), "size at which a partition's segment is closed, unless the topic says otherwise", value.BytesUpTo(1<<20, 1<<30), restart},
	{"memory.tail.bytes", int64(128 << 20), "memory for the newest records of all partitions together", value.Bytes(1 << 20), restart},
	{"memory.produce.bytes", int64(64 << 20), "bytes of produce requests in flight before the broker pushes back", broker.ProduceBytes, runtime},
	{"disk.reserve.bytes", int64(1 << 30), "free space below which the broker refuses to accept records, and which new replicas leave free", broker.DiskReserve, runtime},
	{"replacement.after", 5 * time.Minute, "how long a broker is silent before its replicas are made anew on others; the same everywhere", broker.ReplaceAfter, runtime},
	{"recovery.rate.bytes", int64(64 << 20), "bytes a second that this broker sends, and receives, to make replicas; 0 for no limit", broker.RecoveryRate, runtime},
	{"recovery.parallel", 8, "partitions whose replicas are moved at a time in the whole cluster; the same everywhere", broker.RecoveryParallel, runtime},
	{"placement.automatic", true, "place, heal and balance replicas without being asked; the same everywhere", broker.PlacementAutomatic, runtime},
	{"reflection", false, "serve gRPC reflection on the client address", value.Switch, restart},
	{"pprof", false, "serve /debug/pprof on the HTTP address", value.Switch, restart},
	{"metrics.partitions", false, "serve metrics of each partition beside those of topics: nine series each", value.Switch, restart},
	{"metrics.kafka.names", false, "serve metrics under the names that dashboards for Apache Kafka read, too: seven series a partition", value.Switch, restart},
	{"log.level", "info", "debug, info, warn or error", broker.LogLevel, runtime},
	{"log.format", "text", "text or json", value.Choice("text", "json"), restart},
}

// known tells a key's setting.
func known(key string) bool {
	for _, s := range settings {
		if s.key == key {
			return true
		}
	}
	return false
}

func flagName(key string) string { return strings.ReplaceAll(key, ".", "-") }
func envName(key string) string {
	return "RUNNEL_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// foreignEnv are RUNNEL_ variables that other programs of the project read.
var foreignEnv = map[string]bool{
	"RUNNEL_BROKERS": true, "RUNNEL_TLS": true, "RUNNEL_TLS_CA": true, "RUNNEL_TLS_CERT": true, "RUNNEL_TLS_KEY": true,
}

// addFlags defines a flag for each setting.
func addFlags(fs *pflag.FlagSet) {
	for _, s := range settings {
		name := flagName(s.key)
		switch d := s.value.(type) {
		case string:
			fs.String(name, d, s.help)
		case bool:
			fs.Bool(name, d, s.help)
		case int:
			fs.Int(name, d, s.help)
		case int64: // as text, so that 256MiB is understood in all three spellings
			fs.String(name, strconv.FormatInt(d, 10), s.help)
		case time.Duration:
			fs.Duration(name, d, s.help)
		case []string:
			fs.StringSlice(name, d, s.help)
		default:
			panic(fmt.Sprintf("setting %s has a default of type %T", s.key, d))
		}
	}
}

// load reads the file, the environment and the flags, in rising order. It reports all mistakes at once; warnings are
// for variables that no setting has.
func load(fs *pflag.FlagSet, file string, environ []string) (v *viper.Viper, warnings []string, err error) {
	v = viper.New()
	for _, s := range settings {
		v.SetDefault(s.key, s.value)
		if err := v.BindPFlag(s.key, fs.Lookup(flagName(s.key))); err != nil {
			return nil, nil, err
		}
		if err := v.BindEnv(s.key, envName(s.key)); err != nil {
			return nil, nil, err
		}
	}
	var mistakes []error
	if file != "" {
		m, err := readFile(v, file)
		if err != nil {
			return nil, nil, err
		}
		mistakes = append(mistakes, m...)
	}
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "RUNNEL_") || foreignEnv[name] {
			continue
		}
		ok := false
		for _, s := range settings {
			ok = ok || envName(s.key) == name
		}
		if !ok {
			warnings = append(warnings, fmt.Sprintf("the variable %s is no setting%s", name, didYouMean(name, names(envName))))
		}
	}
	return v, warnings, errors.Join(mistakes...)
}

// readFile merges a YAML file into v and answers what is wrong with its keys.
func readFile(v *viper.Viper, file string) ([]error, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("%s must hold lines of the form key: value: %w", file, err)
	}
	var mistakes []error
	flat := map[string]any{}
	for _, twice := range flatten("", doc, flat) {
		mistakes = append(mistakes, fmt.Errorf("%s: key %q is given twice", file, twice))
	}
	keys := make([]string, 0, len(flat))
	for k := range flat {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if !known(k) {
			mistakes = append(mistakes, fmt.Errorf("%s: unknown key %q%s", file, k, didYouMean(k, names(func(s string) string { return s }))))
			continue
		}
		if err := fits(k, flat[k]); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: key %q: %w", file, k, err))
			continue
		}
		if err := v.MergeConfigMap(nest(k, flat[k])); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: key %q: %w", file, k, err))
		}
	}
	return mistakes, nil
}

// fits refuses a list or a map where a single value is meant: viper would read it as nothing.
func fits(key string, val any) error {
	for _, s := range settings {
		if s.key != key {
			continue
		}
		_, listMeant := s.value.([]string)
		switch val := val.(type) {
		case []any:
			if !listMeant {
				return errors.New("a list is given, one value is meant")
			}
			for _, one := range val {
				switch one.(type) {
				case nil, []any, map[string]any, map[any]any:
					return errors.New("the list must hold single values")
				}
			}
		case map[string]any, map[any]any:
			return errors.New("a map is given, one value is meant")
		case nil:
			return errors.New("no value is given")
		}
	}
	return nil
}

// flatten turns {data: {dir: x}} and {"data.dir": x} alike into {"data.dir": x}. It answers the keys that are there in both ways. An
// empty map stays, for whoever wrote its key is to hear of it.
func flatten(prefix string, in, out map[string]any) (twice []string) {
	for k, val := range in {
		key := k
		if prefix != "" {
			key = prefix + "." + k
		}
		if m, ok := val.(map[string]any); ok && len(m) > 0 {
			twice = append(twice, flatten(key, m, out)...)
			continue
		}
		if _, there := out[key]; there {
			twice = append(twice, key)
		}
		out[key] = val
	}
	return twice
}

// nest is the reverse for one key, as viper wants it.
func nest(key string, val any) map[string]any {
	parts := strings.Split(key, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		val = map[string]any{parts[i]: val}
	}
	return val.(map[string]any)
}

func names(spell func(string) string) []string {
	out := make([]string, 0, len(settings))
	for _, s := range settings {
		out = append(out, spell(s.key))
	}
	return out
}

// config makes the typed configuration. The errors of the single settings are joined.
func config(v *viper.Viper) (broker.Config, error) {
	var errs []error
	typed := func(key string, get func() error) {
		if err := get(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	c := broker.Config{
		DataDir: v.GetString("data.dir"),
		Listen:  v.GetString("listen"), PeerListen: v.GetString("peer.listen"),
		GossipListen: v.GetString("gossip.listen"), HTTPListen: v.GetString("http.listen"),
		AdvertiseClient: v.GetString("advertise.client"), AdvertisePeer: v.GetString("advertise.peer"),
		AdvertiseGossip: v.GetString("advertise.gossip"), AdvertiseHTTP: v.GetString("advertise.http"),
		TLS: tlsFiles(v),
	}
	typed("rack", func() (err error) { c.Rack, err = rack(v); return })
	typed("insecure", func() (err error) { c.Insecure, err = boolean(v, "insecure"); return })
	typed("http.insecure", func() (err error) { c.HTTPInsecure, err = boolean(v, "http.insecure"); return })
	typed("client.connections.max", func() (err error) { c.MaxConnections, err = count(v, "client.connections.max"); return })
	typed("reflection", func() (err error) { c.Reflection, err = boolean(v, "reflection"); return })
	typed("pprof", func() (err error) { c.Pprof, err = boolean(v, "pprof"); return })
	typed("metrics.partitions", func() (err error) { c.PartitionMetrics, err = boolean(v, "metrics.partitions"); return })
	typed("metrics.kafka.names", func() (err error) { c.KafkaMetrics, err = boolean(v, "metrics.kafka.names"); return })
	typed("cluster.found.wait", func() (err error) { c.FoundWait, err = duration(v, "cluster.found.wait"); return })
	typed("segment.bytes", func() (err error) { c.SegmentBytes, err = size(v, "segment.bytes"); return })
	typed("memory.tail.bytes", func() (err error) { c.TailBytes, err = size(v, "memory.tail.bytes"); return })
	typed("memory.produce.bytes", func() (err error) { c.ProduceBytes, err = size(v, "memory.produce.bytes"); return })
	typed("disk.reserve.bytes", func() (err error) { c.DiskReserve, err = size(v, "disk.reserve.bytes"); return })
	typed("replacement.after", func() (err error) { c.ReplaceAfter, err = duration(v, "replacement.after"); return })
	typed("recovery.rate.bytes", func() (err error) { c.RecoveryRate, err = size(v, "recovery.rate.bytes"); return })
	typed("recovery.parallel", func() (err error) { c.RecoveryParallel, err = count(v, "recovery.parallel"); return })
	typed("placement.automatic", func() error {
		automatic, err := boolean(v, "placement.automatic")
		c.ManualPlacement = !automatic
		return err
	})
	typed("log.level", func() error {
		level, err := word(v, "log.level")
		if err == nil {
			err = c.LogLevel.UnmarshalText([]byte(level))
		}
		return err
	})
	for _, s := range v.GetStringSlice("seeds") {
		for _, one := range strings.Split(s, ",") {
			if one = strings.TrimSpace(one); one != "" {
				c.Seeds = append(c.Seeds, one)
			}
		}
	}
	if err := c.Validate(); err != nil {
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

// logger makes the process's logger; logs go to w. It writes every level: the broker leaves out what is below log.level, which changes
// while it runs.
func logger(v *viper.Viper, w io.Writer) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{Level: slog.LevelDebug}
	format, err := word(v, "log.format")
	if err != nil {
		return nil, fmt.Errorf("log.format: %w", err)
	}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}

// shown is a setting's value as a file would have it.
func shown(v *viper.Viper, s setting) any {
	switch s.value.(type) {
	case time.Duration:
		return v.GetDuration(s.key).String()
	case []string:
		return v.GetStringSlice(s.key)
	}
	return v.Get(s.key)
}

// printConfig writes the settings in force as a file that --config would read.
func printConfig(w io.Writer, v *viper.Viper) error {
	for _, s := range settings {
		line, err := yaml.Marshal(map[string]any{s.key: shown(v, s)})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "# %s\n%s", s.help, line); err != nil {
			return err
		}
	}
	return nil
}

// source tells where a setting's value is from.
func source(v *viper.Viper, fs *pflag.FlagSet, key string) string {
	switch {
	case fs.Changed(flagName(key)):
		return "flag"
	case os.Getenv(envName(key)) != "": // viper takes an empty one for none
		return "variable"
	case v.InConfig(key):
		return "file"
	}
	return "default"
}

// told lists the settings that the broker is started with, for whoever asks it.
func told(v *viper.Viper, fs *pflag.FlagSet) []broker.Told {
	out := make([]broker.Told, len(settings))
	for i, s := range settings {
		text := fmt.Sprint(shown(v, s))
		if list, ok := shown(v, s).([]string); ok {
			text = strings.Join(list, ",")
		}
		out[i] = broker.Told{Key: s.key, Value: tellable(s.key, text), Source: source(v, fs, s.key), Reload: string(s.takes)}
	}
	return out
}
