package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
)

// FuzzConfig reads a file, one variable and one flag. Mistakes are said in words; what is accepted is printed as a file that, read alone,
// gives the same configuration. The bytes of the file are read as what else names a broker's rack, too.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("data.dir: x\nseeds: [a:1, b:2]\nsegment.bytes: 16MiB\n"), byte(10), "r1", byte(13), "1m30s")
	f.Add([]byte("data:\n  dir: x\ncluster:\n  found:\n    wait: 3s\n"), byte(9), "a:1,b:2", byte(24), "json")
	f.Add([]byte("rack: {1: x}\nlog: {level: debug}\nlog.level: warn\n"), byte(11), "perhaps", byte(1), "[::1]:7")
	f.Add([]byte("insecure: true\nlisten: 0.0.0.0:7070\nadvertise.client: example:7070\nseeds: [[a]]\n"), byte(14), "9999999999999999999GiB", byte(19), "0")
	f.Add([]byte("- a\n"), byte(0), "", byte(0), "")
	f.Add([]byte("&a [*a]"), byte(18), "5", byte(16), "-1")
	for _, text := range []string{
		`{"metadata":{"labels":{"kubernetes.io/hostname":"node-1","topology.kubernetes.io/zone":"zone-a"}}}`, `{"metadata":{"name":"node-2"}}`,
		`{"metadata":{"labels":{"topology.kubernetes.io/zone":7}}}`, `{"metadata":{"labels":{"topology.kubernetes.io/zone":"a\nb"}}}`, `{"kind":"Status","code":200,"metadata":null}`, "zone-a\n", "b\nc\n", "a\rb", "\n",
	} {
		f.Add([]byte(text), byte(11), "r1", byte(24), "json")
	}
	file := filepath.Join(f.TempDir(), "runnel.yaml")
	f.Fuzz(func(t *testing.T, yaml []byte, variable byte, value string, flag byte, argument string) {
		rereadRack(t, file, yaml)
		if strings.ContainsRune(value, 0) {
			return // no variable holds it
		}
		t.Setenv(envName(settings[int(variable)%len(settings)].key), value)
		name := flagName(settings[int(flag)%len(settings)].key)
		cfg, printed, err := configure(t, file, yaml, []string{"--" + name + "=" + argument})
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Fatal("refused without a word")
			}
			return
		}
		if err := cfg.Validate(); err != nil {
			t.Fatalf("accepted and not valid: %v", err)
		}
		t.Setenv(envName(settings[int(variable)%len(settings)].key), "") // viper takes an empty one for none
		again, _, err := configure(t, file, printed, nil)
		if err != nil {
			t.Fatalf("what was accepted is printed as\n%s\nwhich is refused: %v", printed, err)
		}
		if !reflect.DeepEqual(again, cfg) {
			t.Fatalf("%+v is printed as\n%s\nwhich gives %+v", cfg, printed, again)
		}
	})
}

// configure is what main does with its settings.
func configure(t *testing.T, file string, yaml []byte, args []string) (cfg broker.Config, printed []byte, err error) {
	c := &cobra.Command{}
	addFlags(c.Flags())
	if err := c.Flags().Parse(args); err != nil {
		return cfg, nil, err
	}
	if err := os.WriteFile(file, yaml, 0o600); err != nil {
		t.Fatal(err)
	}
	v, _, err := load(c.Flags(), file, nil)
	if err != nil {
		return cfg, nil, err
	}
	if cfg, err = config(v); err != nil {
		return cfg, nil, err
	}
	var out bytes.Buffer
	if err := printConfig(&out, v); err != nil {
		t.Fatal(err)
	}
	return cfg, out.Bytes(), nil
}
