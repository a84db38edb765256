package repo

import (
	"slices"
	"strings"
	"testing"
)

// allowed says which of our packages each package may import, directly or not. Imports point one way.
var allowed = map[string][]string{
	"proto/runnel/v1":      {},
	"partition/env":        {},
	"partition/env/mutant": {},
	"partition/env/sim":    {"partition/env"},
	"partition/record":     {},
	"partition/raftlog":    {"partition/env", "partition/env/mutant", "partition/record", "proto/runnel/v1"},
	"partition/multiraft":  {"partition/env", "partition/env/mutant", "partition/record", "partition/raftlog", "proto/runnel/v1"},
	"partition/catchup":    {"partition/env", "partition/env/mutant", "partition/record", "partition/raftlog", "proto/runnel/v1"},
	"partition":            {"partition/env", "partition/env/mutant", "partition/record", "partition/raftlog", "partition/multiraft", "proto/runnel/v1"},
	"placement":            {"partition/env/mutant"},
	"placement/plan":       {"placement", "partition/env/mutant"},
	"placement/ask":        {"proto/runnel/v1"},
	"placement/controller": {"placement", "placement/ask", "placement/plan", "partition/env", "partition/env/mutant", "partition/record", "partition/raftlog", "partition/multiraft", "proto/runnel/v1"},
	"placement/agent":      {"placement", "placement/ask", "partition", "partition/catchup", "partition/env", "partition/env/mutant", "partition/record", "partition/raftlog", "partition/multiraft", "proto/runnel/v1"},
	"gossip":               {},
	"rpc/peer":             {"partition/multiraft", "partition/env", "partition/env/mutant", "partition/record", "partition/raftlog", "proto/runnel/v1", "rpc/listen"},
	"rpc/certs":            {},
	"rpc/certs/dev":        {},
	"rpc/listen":           {},
	"rpc/client":           {"proto/runnel/v1", "partition/record"},
}

// foreign says which libraries a package must not reach, however indirectly.
var foreign = map[string][]string{
	"placement":      {"go.etcd.io/raft", "google.golang.org/grpc", "go.etcd.io/bbolt"},
	"placement/plan": {"go.etcd.io/raft", "google.golang.org/grpc", "go.etcd.io/bbolt"},
	"rpc/client":     {"go.etcd.io/raft", "go.etcd.io/bbolt", "github.com/hashicorp"},
	"gossip":         {"go.etcd.io/raft", "google.golang.org/grpc"},
}

func TestImportsPointOneWay(t *testing.T) {
	out, err := command(root(t), "go", "list", "-f", "{{.ImportPath}} {{join .Deps \" \"}}", "./...")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module+"/")
		seen[pkg] = true
		may, listed := allowed[pkg]
		for _, dep := range fields[1:] {
			if ours, ok := strings.CutPrefix(dep, module+"/"); ok {
				if listed && !slices.Contains(may, ours) {
					t.Errorf("%s must not reach %s", pkg, ours)
				}
				if strings.HasPrefix(ours, "cmd/") && !strings.HasPrefix(pkg, "cmd/") && !strings.HasPrefix(pkg, "bench/") {
					t.Errorf("%s must not reach %s", pkg, ours)
				}
				continue
			}
			for _, f := range foreign[pkg] {
				if dep == f || strings.HasPrefix(dep, f+"/") {
					t.Errorf("%s must not reach %s", pkg, dep)
				}
			}
			if dep == "github.com/spf13/viper" && pkg != "cmd/brokerd" {
				t.Errorf("%s must not reach viper: only cmd/brokerd reads settings", pkg)
			}
		}
	}
	for pkg := range allowed {
		if !seen[pkg] {
			t.Errorf("the table names %s, which does not exist", pkg)
		}
	}
}
