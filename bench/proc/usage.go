package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used: CPU since its start, and resident memory in bytes now.
type Usage struct {
	CPU    time.Duration
	Memory int64
}

// clockTicks a second in /proc: a constant of Linux's interface to programs.
const clockTicks = 100

// Usage reads the broker's from /proc.
func (b *Broker) Usage() (Usage, error) {
	pid := b.PID()
	if pid == 0 {
		return Usage{}, fmt.Errorf("broker %d does not run", b.Number)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	// The name in parentheses may hold anything; what follows it starts with the third field.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 22 {
		return Usage{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var n [3]int64
	for i, field := range []string{fields[11], fields[12], fields[21]} { // utime, stime, rss
		if n[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return Usage{}, err
		}
	}
	return Usage{CPU: time.Duration(n[0]+n[1]) * time.Second / clockTicks, Memory: n[2] * int64(os.Getpagesize())}, nil
}
