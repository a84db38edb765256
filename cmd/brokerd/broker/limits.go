package broker

import (
	"fmt"
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

// warnLimits says at start what the system allows too little of (rule 33).
func warnLimits(log *slog.Logger) {
	for _, low := range LowLimits() {
		log.Warn("the system allows too little for many partitions", "component", "broker", "reason", low)
	}
}

// LowLimits tells what the system allows too little of for many partitions: a segment is an open file and a mapping.
func LowLimits() []string {
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
	return judgeLimits(files, maps)
}

func judgeLimits(files, maps uint64) (low []string) {
	if files < fewFiles {
		low = append(low, fmt.Sprintf("the limit of open files is %d, low for many partitions: raise it to %d with ulimit -n or LimitNOFILE", files, fewFiles))
	}
	if maps < fewMaps {
		low = append(low, fmt.Sprintf("vm.max_map_count is %d, low for many partitions: raise it to %d with sysctl", maps, fewMaps))
	}
	return low
}
