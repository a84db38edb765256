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
	files, maps := uint64(fewFiles), uint64(fewMaps) // what cannot be read is taken for enough
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err == nil {
		files = lim.Cur
	}
	if raw, err := os.ReadFile("/proc/sys/vm/max_map_count"); err == nil { // not Linux, or hidden: nothing to say
		if n, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64); err == nil {
			maps = n
		}
	}
	judgeLimits(log, files, maps)
}

func judgeLimits(log *slog.Logger, files, maps uint64) {
	if files < fewFiles {
		log.Warn("the limit of open files is low for many partitions: raise it with ulimit -n or LimitNOFILE",
			"component", "broker", "limit", files, "wanted", fewFiles)
	}
	if maps < fewMaps {
		log.Warn("vm.max_map_count is low for many partitions: raise it with sysctl",
			"component", "broker", "limit", maps, "wanted", fewMaps)
	}
}
