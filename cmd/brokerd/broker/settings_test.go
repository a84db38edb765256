package broker_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/admin"
	"github.com/runnel-io/runnel/rpc/client"
)

// base is what the brokers of the tests here are started with.
var base = broker.Following{Rate: 7 << 20, Produce: 32 << 20, Reserve: 1 << 20, Level: slog.LevelInfo}

func withSettings(_ int, c *broker.Config) {
	c.RecoveryRate, c.ProduceBytes, c.DiskReserve = base.Rate, base.Produce, base.Reserve
	c.Settings = []broker.Told{
		{Key: "rack", Value: "r1", Source: "variable", Reload: broker.AtRestart},
		{Key: "recovery.rate.bytes", Value: "7MiB", Source: "file", Reload: broker.AtRuntime},
	}
}

func alter(t *testing.T, cl *client.Client, id int32, set map[string]string, unset ...string) *runnelv1.AlterSettingsResponse {
	t.Helper()
	r, err := cl.Admin().AlterSettings(patient(t), &runnelv1.AlterSettingsRequest{Broker: id, Set: set, Unset: unset})
	if err != nil {
		t.Fatalf("set %v, unset %v: %v", set, unset, err)
	}
	return r
}

// goBy waits until the running brokers go by what is wanted.
func goBy(c *brokertest.Cluster, want func(n int) broker.Following) {
	last := ""
	c.Eventually(func() bool {
		for n := 1; n <= c.Size(); n++ {
			if b := c.Broker(n); b != nil && b.Following() != want(n) {
				last = fmt.Sprintf("broker %d goes by %+v, not by %+v", n, b.Following(), want(n))
				return false
			}
		}
		return true
	}, func() string { return last })
}

// listed is one setting as a broker, or, of 0, the cluster has it.
func listed(t *testing.T, cl *client.Client, id int32, name string) *runnelv1.SettingDescription {
	t.Helper()
	r, err := cl.Admin().ListSettings(patient(t), &runnelv1.ListSettingsRequest{Broker: id})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.GetSettings() {
		if s.GetName() == name {
			return s
		}
	}
	t.Fatalf("broker %d does not tell of %s: %v", id, name, r)
	return nil
}

func TestSettingsAlteredAtRunTimeHoldOnEveryBrokerAfterRestartsAndOnOneThatJoins(t *testing.T) {
	c := brokertest.Start(t, 3, brokertest.Edit(withSettings))
	cl := dial(t, c)
	goBy(c, func(int) broker.Following { return base })
	alter(t, cl, 0, map[string]string{"recovery.rate.bytes": "3MiB", "memory.produce.bytes": "16MiB", "disk.reserve.bytes": "2097152", "log.level": "warn"})
	own := c.Broker(2).ID()
	alter(t, cl, own, map[string]string{"recovery.rate.bytes": "0", "log.level": "error"})
	all := broker.Following{Rate: 3 << 20, Produce: 16 << 20, Reserve: 2 << 20, Level: slog.LevelWarn}
	want := func(n int) broker.Following {
		if n == 2 {
			return broker.Following{Produce: all.Produce, Reserve: all.Reserve, Level: slog.LevelError}
		}
		return all
	}
	goBy(c, want)

	for n := 1; n <= 3; n++ {
		c.Crash(n)
	}
	for n := 1; n <= 3; n++ {
		c.Restart(n)
	}
	c.WaitReady()
	goBy(c, want)
	c.Add()
	c.WaitReady()
	goBy(c, want)

	for _, x := range []struct {
		id                        int32
		name, value, source, base string
	}{
		{own, "recovery.rate.bytes", "0", admin.SourceBroker, "7MiB"}, {c.Broker(1).ID(), "recovery.rate.bytes", "3MiB", admin.SourceCluster, "7MiB"},
		{own, "rack", "r1", "variable", "r1"}, {own, "memory.produce.bytes", "16MiB", admin.SourceCluster, "33554432"},
		{own, "recovery.parallel", "8", admin.SourceStart, "8"}, {0, "recovery.rate.bytes", "3MiB", admin.SourceCluster, ""},
	} {
		s := listed(t, cl, x.id, x.name)
		if s.GetValue() != x.value || s.GetSource() != x.source || s.GetBase() != x.base {
			t.Errorf("%s of broker %d is told as %v", x.name, x.id, s)
		}
	}
	if s := listed(t, cl, 0, "log.level"); s.GetBrokers()[own] != "error" || len(s.GetBrokers()) != 1 {
		t.Errorf("the cluster tells %v of single brokers", s)
	}

	alter(t, cl, own, nil, "recovery.rate.bytes", "log.level")
	goBy(c, func(int) broker.Following { return all })
	alter(t, cl, 0, nil, "recovery.rate.bytes", "memory.produce.bytes", "disk.reserve.bytes", "log.level")
	goBy(c, func(int) broker.Following { return base })
	if s := listed(t, cl, own, "recovery.rate.bytes"); s.GetValue() != "7MiB" || s.GetSource() != "file" {
		t.Errorf("the file's value does not hold again: %v", s)
	}
}

// The reserve of the disk is one that shows: raised above what is free, records are refused at once, and taken again when it is lowered.
func TestTheDisksReserveIsRaisedAndLoweredUnderABroker(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 30)
	c := brokertest.Start(t, 1, brokertest.Edit(func(n int, c *broker.Config) {
		withSettings(n, c)
		c.Hooks.Free = func(string) (int64, error) { return free.Load(), nil }
	}))
	cl := dial(t, c)
	create(t, cl, "orders", 1, 1)
	produce(t, cl, "orders", 0, 10)
	alter(t, cl, 0, map[string]string{"disk.reserve.bytes": "2GiB"})
	c.Eventually(c.Broker(1).DiskFull, func() string { return "records are taken below the reserve" })
	alter(t, cl, 0, nil, "disk.reserve.bytes")
	produce(t, cl, "orders", 10, 10) // waits until they are taken
}

func TestBadSettingsAreAllNamedAndChangeNothing(t *testing.T) {
	c := brokertest.Start(t, 1, brokertest.Edit(withSettings))
	cl := dial(t, c)
	before := c.Broker(1).State()
	for _, x := range []struct {
		id    int32
		set   map[string]string
		unset []string
		words []string
	}{
		{0, map[string]string{"recovery.rate": "1", "log.level": "loud", "recovery.parallel": "0", "replacement.after": "5m", "rack": "r2"}, []string{"log.levels"}, []string{
			`setting "recovery.rate" is unknown (did you mean "recovery.rate.bytes"?)`, `"loud" is not one of debug, info, warn, error`, `"0" is no number from 1 to 1000`,
			`setting "rack" does not change while a broker runs`, `setting "log.levels" is unknown (did you mean "log.level"?)`, "memory.produce.bytes",
		}},
		{c.Broker(1).ID(), map[string]string{"recovery.parallel": "4"}, nil, []string{"recovery.parallel holds for the whole cluster"}},
		{7, map[string]string{"log.level": "debug"}, nil, []string{"broker 7 is not a member"}},
		{-1, map[string]string{"log.level": "debug"}, nil, []string{"-1 is no broker's id"}},
		{0, nil, nil, []string{"nothing is to be changed"}},
		{0, map[string]string{"log.level": "debug"}, []string{"log.level"}, []string{"name it once"}},
	} {
		_, err := cl.Admin().AlterSettings(patient(t), &runnelv1.AlterSettingsRequest{Broker: x.id, Set: x.set, Unset: x.unset})
		if e := runnelv1.AsError(err); err == nil || e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_DEFINITE {
			t.Errorf("%v: %v", x.set, err)
			continue
		}
		for _, w := range x.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q lacks %q", err, w)
			}
		}
	}
	if got := c.Broker(1).State(); got.Revision != before.Revision || len(got.Settings)+len(got.BrokerSettings) != 0 {
		t.Errorf("revision %d became %d, %v %v", before.Revision, got.Revision, got.Settings, got.BrokerSettings)
	}
	if got := c.Broker(1).Following(); got != base {
		t.Errorf("the broker goes by %+v", got)
	}
	for _, id := range []int32{7, -1} {
		if _, err := cl.Admin().ListSettings(patient(t), &runnelv1.ListSettingsRequest{Broker: id}); err == nil {
			t.Errorf("broker %d has settings", id)
		}
	}
}
