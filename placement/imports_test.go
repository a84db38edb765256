package placement

import (
	"os/exec"
	"strings"
	"testing"
)

// The pure core must stay pure: no raft, no gRPC, no clock to be given.
func TestPurePackagesImportNeitherRaftNorGRPC(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".", "./plan").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if strings.HasSuffix(dep, "runnel/partition/env/mutant") {
			continue // names of seeded bugs, and nothing behind them
		}
		for _, banned := range []string{"go.etcd.io/", "google.golang.org/", "runnel/partition", "runnel/proto", "runnel/rpc", "math/rand", "net"} {
			if dep == banned || banned != "net" && strings.Contains(dep, banned) && !strings.HasPrefix(dep, "internal/") {
				t.Errorf("placement depends on %s", dep)
			}
		}
	}
}
