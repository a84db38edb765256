package broker

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/value"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/admin"
)

// Some settings change while brokers run. What a broker was started with is the base; what is set for the whole cluster goes before it, and what
// is set for the one broker before that. Both are in the controller's state, so every broker has them, also after a restart, and one that
// joins too.

// When a change of a setting takes effect.
const (
	AtRestart = admin.ReloadRestart
	AtRuntime = admin.ReloadRuntime
	Watched   = admin.ReloadFile
)

// What the settings hold that change while the broker runs.
var (
	ProduceBytes = value.Bytes(1 << 20)
	DiskReserve  = value.Bytes(0)
	ReplaceAfter = value.Duration(time.Second)
	RecoveryRate = value.Bytes(0)
	// RecoveryParallel is bounded since each move under way is asked after several times a second.
	RecoveryParallel   = value.Number(1, 1000)
	PlacementAutomatic = value.Switch
	LogLevel           = value.Choice("debug", "info", "warn", "error")
)

// runtimeSetting is a setting that changes while the broker runs.
type runtimeSetting struct {
	key  string
	kind value.Kind
	// base is what the broker was started with.
	base func(c *Config) string
	// follow takes a value that kind allows. Nil: the controller's leader goes by it, for all brokers (tune), and none has its own.
	follow func(b *Broker, v string)
}

var runtimeSettings = []runtimeSetting{
	{"disk.reserve.bytes", DiskReserve, func(c *Config) string { return decimal(c.DiskReserve) }, func(b *Broker, v string) {
		n, _ := DiskReserve.Bytes(v) // of an allowed value, here and below
		b.disk.reserve.Store(n)
		b.store.SetReserve(n)
	}},
	{"log.level", LogLevel, func(c *Config) string { return strings.ToLower(c.LogLevel.String()) }, func(b *Broker, v string) {
		var l slog.Level
		_ = l.UnmarshalText([]byte(v))
		b.level.Set(l)
	}},
	{"memory.produce.bytes", ProduceBytes, func(c *Config) string { return decimal(c.ProduceBytes) }, func(b *Broker, v string) {
		n, _ := ProduceBytes.Bytes(v)
		b.budget.SetLimit(n)
	}},
	{"placement.automatic", PlacementAutomatic, func(c *Config) string { return strconv.FormatBool(!c.ManualPlacement) }, nil},
	{"recovery.parallel", RecoveryParallel, func(c *Config) string { return strconv.Itoa(c.RecoveryParallel) }, nil},
	{"recovery.rate.bytes", RecoveryRate, func(c *Config) string { return decimal(c.RecoveryRate) }, func(b *Broker, v string) {
		n, _ := RecoveryRate.Bytes(v)
		b.catchup.limiter.SetRate(n)
	}},
	{"replacement.after", ReplaceAfter, func(c *Config) string { return c.ReplaceAfter.String() }, nil},
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// runtimeKeys are the keys, rising.
func runtimeKeys() []string {
	keys := make([]string, len(runtimeSettings))
	for i := range runtimeSettings {
		keys[i] = runtimeSettings[i].key
	}
	return keys
}

func findRuntime(key string) *runtimeSetting {
	for i := range runtimeSettings {
		if runtimeSettings[i].key == key {
			return &runtimeSettings[i]
		}
	}
	return nil
}

// ChangesAtRuntime tells whether a setting changes while the broker runs, and whether it has one value for the whole cluster then.
func ChangesAtRuntime(key string) (whole, changes bool) {
	r := findRuntime(key)
	return r != nil && r.follow == nil, r != nil
}

// given is what a setting is given in the cluster's state: where, and the value, which is not "" if it is to be followed. Problem tells why a
// value that is set is not: a newer release may have allowed it.
func (r *runtimeSetting) given(s *placement.State, broker int32) (v, source, problem string) {
	if all, set := s.Settings[r.key]; set {
		if err := r.kind.Check(all); err != nil {
			problem = fmt.Sprintf("the cluster's value is not followed: %v", err)
		} else {
			v, source = all, admin.SourceCluster
		}
	}
	if own, set := s.BrokerSettings[broker][r.key]; set && r.follow != nil {
		if err := r.kind.Check(own); err != nil {
			problem = fmt.Sprintf("the broker's value is not followed: %v", err)
		} else {
			v, source = own, admin.SourceBroker
		}
	}
	return v, source, problem
}

// follow has the broker go by the settings of a state. It is called with one state after the other.
func (b *Broker) follow(s *placement.State) {
	id := b.ID()
	for i := range runtimeSettings {
		r := &runtimeSettings[i]
		v, source, problem := r.given(s, id)
		if source == "" {
			v, source = r.base(&b.cfg), "start"
		}
		if now := v + " " + problem; b.followed[r.key] != now {
			was, before := b.followed[r.key]
			b.followed[r.key] = now
			if r.follow != nil {
				r.follow(b, v)
			}
			if problem != "" {
				b.log.Warn("a setting of the cluster is not followed", "component", "broker", "key", r.key, "reason", problem)
			}
			if before || source != "start" {
				b.log.Info("a setting changed", "component", "broker", "key", r.key, "value", v, "from", source, "before", strings.TrimSpace(was))
			}
		}
	}
}

// tune gives what a state makes of the controller's settings.
func tune(s *placement.State, t controller.Tuning) controller.Tuning {
	if len(s.Settings) == 0 {
		return t
	}
	given := func(key string) string {
		v, _, _ := findRuntime(key).given(s, 0)
		return v
	}
	if v := given("replacement.after"); v != "" {
		t.ReplaceAfter, _ = ReplaceAfter.Duration(v)
	}
	if v := given("recovery.parallel"); v != "" {
		t.Parallel, _ = RecoveryParallel.Number(v)
	}
	if v := given("placement.automatic"); v != "" {
		t.Automatic, _ = value.Bool(v)
	}
	return t
}

// validateSettings names every mistake in what is to be set for a broker, or for all of them if that is 0, and in the names of what is to be removed
// but is not set. The error is a *runnelv1.Error.
func (b *Broker) validateSettings(broker int32, set map[string]string, unset []string) error {
	reason := runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
	var problems []string
	keys := slices.Sorted(maps.Keys(set))
	for _, k := range append(keys, slices.Sorted(slices.Values(unset))...) {
		r := findRuntime(k)
		v, sets := set[k]
		switch {
		case r == nil && b.told(k) != nil:
			problems = append(problems, fmt.Sprintf("setting %q does not change while a broker runs: change its file and start it again", k))
		case r == nil:
			reason = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING
			p := fmt.Sprintf("setting %q is unknown", k)
			if near := value.Nearest(k, runtimeKeys()); near != "" {
				p += fmt.Sprintf(" (did you mean %q?)", near)
			}
			problems = append(problems, p)
		case broker != 0 && r.follow == nil:
			problems = append(problems, fmt.Sprintf("setting %s holds for the whole cluster: no broker has its own", k))
		case sets:
			if err := r.kind.Check(v); err != nil {
				problems = append(problems, fmt.Sprintf("setting %s: %v", k, err))
			}
		}
	}
	if reason == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING {
		problems = append(problems, "those that change while brokers run are "+strings.Join(runtimeKeys(), ", "))
	}
	if len(problems) > 0 {
		return runnelv1.Errorf(reason, "%s", strings.Join(problems, "; "))
	}
	return nil
}

// told is what the broker was started with, nil if it was not told of such a setting.
func (b *Broker) told(key string) *Told {
	for i := range b.cfg.Settings {
		if b.cfg.Settings[i].Key == key {
			return &b.cfg.Settings[i]
		}
	}
	return nil
}

// settings are all of the broker's as they are in force, and what is set that it does not know.
func (b *Broker) settings() []admin.Setting {
	s, id := b.state(), b.ID()
	var out []admin.Setting
	for _, t := range b.cfg.Settings {
		out = append(out, admin.Setting{Name: t.Key, Value: t.Value, Base: t.Value, Source: t.Source, Reload: t.Reload})
	}
	for i := range runtimeSettings {
		r := &runtimeSettings[i]
		at := slices.IndexFunc(out, func(x admin.Setting) bool { return x.Name == r.key })
		if at < 0 { // started in a test, or as one of `brokerd dev`
			out = append(out, admin.Setting{Name: r.key, Value: r.base(&b.cfg), Source: admin.SourceStart, Reload: AtRuntime})
			at = len(out) - 1
			out[at].Base = out[at].Value
		}
		out[at].Whole = r.follow == nil
		v, source, problem := r.given(s, id)
		out[at].Problem = problem
		if source != "" {
			out[at].Value, out[at].Source = v, source
		}
	}
	return append(out, unknownSettings(s, id)...)
}

// unknownSettings are set in the state and unknown to this release.
func unknownSettings(s *placement.State, broker int32) []admin.Setting {
	var out []admin.Setting
	for source, given := range map[string]map[string]string{admin.SourceCluster: s.Settings, admin.SourceBroker: s.BrokerSettings[broker]} {
		for k, v := range given {
			if findRuntime(k) == nil {
				out = append(out, admin.Setting{Name: k, Value: v, Source: source, Reload: AtRuntime, Problem: "this release of the broker does not know it"})
			}
		}
	}
	slices.SortFunc(out, func(x, y admin.Setting) int { return strings.Compare(x.Name+x.Source, y.Name+y.Source) })
	return out
}
