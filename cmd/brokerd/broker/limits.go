package broker

import (
	"log/slog"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	fewFiles = 65536
	fewMaps  = 262144
)

// warnLimits says at start what the system allows too little of (rule 33): a segment is an open file and a mapping.
func warnLimits(log *slog.Logger) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err == nil && lim.Cur < fewFiles {
		log.Warn("the limit of open files is low for many partitions: raise it with ulimit -n or LimitNOFILE",
			"component", "broker", "limit", lim.Cur, "wanted", fewFiles)
	}
	raw, err := os.ReadFile("/proc/sys/vm/max_map_count")
	if err != nil {
		return // not Linux, or hidden: nothing to say
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil && n < fewMaps {
		log.Warn("vm.max_map_count is low for many partitions: raise it with sysctl",
			"component", "broker", "limit", n, "wanted", fewMaps)
	}
}
