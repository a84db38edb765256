package main

import (
	"strings"
	"testing"
)

func TestMistypedFlagsAndCommands(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"topic create x --partitions x", `--partitions is "x": give a whole number`},
		{"topic create x --partitions 99999999999", `--partitions is "99999999999": that number is out of range`},
		{"consume x -p a", `--partition is "a": give whole numbers separated by commas, such as 0,2`},
		{"consume x -n a", `--count is "a": give a whole number`},
		{"consume x --exit-at-end=x", `--exit-at-end is "x": give true or false, or the flag alone`},
		{"bench e2e --rate x", `--rate is "x": give a number`},
		{"topic list --timeout 5", `--timeout is "5": give a duration such as 5s`},
		{"topic list --outpt json", "unknown flag --outpt: did you mean --output?"},
		{"consume x --exitatend", "unknown flag --exitatend: did you mean --exit-at-end?"},
		{"topic list --xyzzy", "unknown flag --xyzzy"},
		{"topc list", `unknown command "topc": did you mean topic?`},
		{"topic lst", `unknown command "lst": did you mean list?`},
		{"topic xyzzy", `unknown command "xyzzy": topic has alter, create, delete, describe, list`},
	} {
		r := try(t.Context(), newFakeCluster(), "", strings.Fields(c.args)...)
		if r.status != 1 || r.err != "brokerctl: "+c.want+"\n" {
			t.Errorf("%s: status %d, %q; want %q", c.args, r.status, r.err, c.want)
		}
	}
}

func TestVersionFlagAndCommandSayTheSame(t *testing.T) {
	flag, cmd := try(t.Context(), newFakeCluster(), "", "--version"), try(t.Context(), newFakeCluster(), "", "version")
	if flag != cmd || !strings.HasPrefix(flag.out, "brokerctl development") {
		t.Errorf("%+v and %+v", flag, cmd)
	}
}
