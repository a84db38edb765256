package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
)

// settle reads settings as main does.
func settle(t *testing.T, yaml string, environ, args []string) (broker.Config, []string, error) {
	t.Helper()
	c := &cobra.Command{}
	addFlags(c.Flags())
	if err := c.Flags().Parse(args); err != nil {
		t.Fatal(err)
	}
	file := ""
	if yaml != "" {
		file = filepath.Join(t.TempDir(), "runnel.yaml")
		if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	v, warnings, err := load(c.Flags(), file, environ)
	if err != nil {
		return broker.Config{}, warnings, err
	}
	cfg, err := config(v)
	return cfg, warnings, err
}

func TestFlagsBeatVariablesBeatTheFile(t *testing.T) {
	yaml := "data.dir: from-file\nrack: from-file\nlisten: 127.0.0.1:1\n"
	cfg, _, err := settle(t, yaml, nil, nil)
	if err != nil || cfg.DataDir != "from-file" || cfg.Listen != "127.0.0.1:1" {
		t.Fatalf("%+v %v", cfg, err)
	}
	t.Setenv("RUNNEL_DATA_DIR", "from-variable")
	t.Setenv("RUNNEL_RACK", "from-variable")
	cfg, _, err = settle(t, yaml, os.Environ(), []string{"--data-dir", "from-flag"})
	if err != nil || cfg.DataDir != "from-flag" || cfg.Rack != "from-variable" || cfg.Listen != "127.0.0.1:1" {
		t.Fatalf("%+v %v", cfg, err)
	}
}

func TestNestedAndDottedKeysAreTheSame(t *testing.T) {
	for _, yaml := range []string{"data:\n  dir: x\ncluster:\n  found:\n    wait: 3s\n", "data.dir: x\ncluster.found.wait: 3s\n"} {
		cfg, _, err := settle(t, yaml, nil, nil)
		if err != nil || cfg.DataDir != "x" || cfg.FoundWait != 3*time.Second {
			t.Fatalf("%q: %+v %v", yaml, cfg, err)
		}
	}
}

func TestEveryMistakeIsSaidAtOnce(t *testing.T) {
	_, _, err := settle(t, "dada.dir: x\nlissten: y\n", nil, nil)
	if err == nil {
		t.Fatal("unknown keys were taken")
	}
	for _, want := range []string{`unknown key "dada.dir"; did you mean "data.dir"?`, `unknown key "lissten"; did you mean "listen"?`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	_, _, err = settle(t, "", nil, []string{"--listen", "nonsense", "--peer-listen", "10.0.0.1:1", "--seeds", "a:1,a:1"})
	if err == nil {
		t.Fatal("bad values were taken")
	}
	for _, want := range []string{`listen: "nonsense" is no host:port`, `peer.listen: "10.0.0.1:1" is not a loopback address`, "--insecure", "seeds: a:1 is named twice"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestValuesAreReadStrictly(t *testing.T) {
	cfg, _, err := settle(t, "segment.bytes: 16MiB\nmemory.tail.bytes: 33554432\ninsecure: true\nlisten: 0.0.0.0:7070\nadvertise.client: example:7070\n", nil, []string{"--disk-reserve-bytes", "5MiB"})
	if err != nil || cfg.SegmentBytes != 16<<20 || cfg.TailBytes != 32<<20 || !cfg.Insecure || cfg.DiskReserve != 5<<20 {
		t.Fatalf("%+v %v", cfg, err)
	}
	for yaml, want := range map[string]string{
		"segment.bytes: lots\n":                  `segment.bytes: "lots" is no size`,
		"segment.bytes: 12\n":                    "segment.bytes: 12 is below the least",
		"insecure: perhaps\n":                    `insecure: "perhaps" is neither true nor false`,
		"cluster.found.wait: ten\n":              `cluster.found.wait: "ten" is no duration`,
		"data.dir: ''\n":                         "data.dir is empty",
		"rack: [a]\n":                            `key "rack": a list is given`,
		"rack: {1: x}\n":                         `key "rack": a map is given`,
		"data.dir: {}\n":                         `key "data.dir": a map is given`,
		"dada: {}\n":                             `unknown key "dada"`,
		"seeds: [[a]]\n":                         `key "seeds": the list must hold single values`,
		"log: {level: debug}\nlog.level: warn\n": `key "log.level" is given twice`,
		"insecure: true\nlisten: 0.0.0.0:7070\n": "advertise.client: others cannot reach this broker",
		"seeds: ['nohost']\n":                    `seeds: "nohost" is no host:port`,
		"advertise.client: ':70'\n":              "names no host",
		"replacement.after: 0s\n":                `replacement.after: 0s is below the least of 1s`,
		"replacement.after: soon\n":              `replacement.after: "soon" is no duration`,
		"recovery.parallel: 0\n":                 `recovery.parallel: "0" is no number from 1 to 1000`,
		"recovery.parallel: 2.5\n":               `recovery.parallel: "2.5" is no number from 1 to 1000`,
		"recovery.rate.bytes: -1\n":              `recovery.rate.bytes: "-1" is no size`,
		"placement.automatic: often\n":           `placement.automatic: "often" is neither true nor false`,
	} {
		if _, _, err := settle(t, yaml, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v lacks %q", yaml, err, want)
		}
	}
}

func TestTheClusterPlacesByItselfUnlessToldNotTo(t *testing.T) {
	cfg, _, err := settle(t, "", nil, nil)
	if err != nil || cfg.ManualPlacement || cfg.ReplaceAfter != 5*time.Minute || cfg.RecoveryRate != 64<<20 || cfg.RecoveryParallel != 8 {
		t.Fatalf("%+v %v", cfg, err)
	}
	t.Setenv("RUNNEL_REPLACEMENT_AFTER", "20s")
	cfg, _, err = settle(t, "recovery: {rate.bytes: 0, parallel: 3}\nplacement.automatic: false\n", os.Environ(), nil)
	if err != nil || !cfg.ManualPlacement || cfg.ReplaceAfter != 20*time.Second || cfg.RecoveryRate != 0 || cfg.RecoveryParallel != 3 {
		t.Fatalf("%+v %v", cfg, err)
	}
}

func TestUnknownVariablesAreWarnedAbout(t *testing.T) {
	_, warnings, err := settle(t, "", []string{"RUNNEL_DATA_DIRR=x", "RUNNEL_BROKERS=y", "OTHER=z"}, nil)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], `did you mean "RUNNEL_DATA_DIR"?`) {
		t.Fatalf("%q %v", warnings, err)
	}
}

func TestPrintConfigCanBeReadBack(t *testing.T) {
	var out, errOut bytes.Buffer
	if status := run(t.Context(), []string{"--print-config", "--rack", "b", "--seeds", "x:1,y:2"}, nil, &out, &errOut); status != 0 {
		t.Fatalf("status %d: %s", status, errOut.String())
	}
	cfg, _, err := settle(t, out.String(), nil, nil)
	if err != nil || cfg.Rack != "b" || len(cfg.Seeds) != 2 || cfg.SegmentBytes != 256<<20 {
		t.Fatalf("%+v %v\n%s", cfg, err, out.String())
	}
}

func TestMistakesEndTheProcessWithAClearLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--data-dirr", "x"}, `unknown flag --data-dirr; did you mean "--data-dir"?`},
		{[]string{"--config", "/does/not/exist"}, "cannot read the configuration"},
		{[]string{"serve"}, "unknown command"},
		{[]string{"--log-level", "loud"}, `"loud" is not one of debug, info, warn, error`},
		{[]string{"dev", "--brokers", "77"}, "give 1 to 9"},
	} {
		var out, errOut bytes.Buffer
		if status := run(context.Background(), c.args, nil, &out, &errOut); status == 0 || !strings.Contains(errOut.String(), c.want) {
			t.Errorf("%q: status %d, %q lacks %q", c.args, status, errOut.String(), c.want)
		}
	}
}
