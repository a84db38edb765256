package proc

import (
	"context"
	"os"
	"os/exec"
	"strings"
)

const unknown = "unknown"

// Commit is the commit of the tree that this program was started in, twelve digits of it: a figure goes with it.
func Commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(out))
}

// CPUModel names this machine's processor.
func CPUModel() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}
