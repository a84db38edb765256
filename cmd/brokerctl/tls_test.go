package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestTheFlagTLSWinsOverVariables(t *testing.T) {
	for _, x := range []struct {
		name string
		env  map[string]string
		args []string
		tls  bool
		want string // in the error
	}{
		{"nothing", nil, nil, false, ""},
		{"the variable", map[string]string{"RUNNEL_TLS": "true"}, nil, true, ""},
		{"on", map[string]string{"RUNNEL_TLS": "false"}, []string{"--tls"}, true, ""},
		{"off", map[string]string{"RUNNEL_TLS": "true"}, []string{"--tls=false"}, false, ""},
		{"off, and a variable that implies it", map[string]string{"RUNNEL_TLS_CA": "ca"}, []string{"--tls=false"}, false, ""},
		{"off, and a flag that implies it", nil, []string{"--tls=false", "--tls-ca=ca"}, false, "contradict"},
	} {
		var flags tlsFlags
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		flags.define(f)
		if err := f.Parse(x.args); err != nil {
			t.Fatal(err)
		}
		c, err := flags.config(func(name string) string { return x.env[name] })
		if (c != nil) != x.tls || (err != nil) != (x.want != "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: TLS %v, %v", x.name, c != nil, err)
		}
	}
}
