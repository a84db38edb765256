package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

// parts is how many spans the watch of idle brokers is cut into: what creation left to do shows in the first, growth in all.
const parts = 4

// look is one look at all brokers.
type look struct {
	at     time.Time
	cpu    time.Duration // of all of them, since their start
	memory []int64       // resident bytes of each
	files  []int         // descriptors of each
}

// idle watches the brokers while nobody writes: their CPU, and their memory and descriptors at the start and the end of each span.
func idle(ctx context.Context, cluster *proc.Cluster, watch time.Duration) error {
	if err := proc.Wait(ctx, 5*time.Second); err != nil { // what creation left to do
		return err
	}
	looks := make([]look, 0, parts+1)
	for {
		l, err := lookAt(cluster)
		if err != nil {
			return err
		}
		looks = append(looks, l)
		if len(looks) > parts {
			break
		}
		if err := proc.Wait(ctx, watch/parts); err != nil {
			return err
		}
	}
	fmt.Println(describe(looks))
	return nil
}

func lookAt(cluster *proc.Cluster) (look, error) {
	l := look{at: time.Now()}
	for _, b := range cluster.Brokers {
		u, err := b.Usage()
		if err != nil {
			return l, err
		}
		l.cpu += u.CPU
		l.memory = append(l.memory, u.Memory)
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.PID()))
		if err != nil {
			return l, err
		}
		l.files = append(l.files, len(files))
	}
	return l, nil
}

// describe writes a line for each span and one for all.
func describe(looks []look) string {
	var lines []string
	first, last := looks[0], looks[len(looks)-1]
	for i, l := range looks[1:] {
		lines = append(lines, fmt.Sprintf("  %3.0f to %3.0f s: %5.1f%% of a core, memory %s MB", looks[i].at.Sub(first.at).Seconds(), l.at.Sub(first.at).Seconds(),
			core(looks[i], l), megabytes(l.memory)))
	}
	lines = append(lines, fmt.Sprintf("idle for %.0f s: all brokers %.1f%% of a core, %.1f%% in the last quarter; memory each %s MB at first, %s MB at last; descriptors each %s",
		last.at.Sub(first.at).Seconds(), core(first, last), core(looks[len(looks)-2], last), megabytes(first.memory), megabytes(last.memory),
		strings.Trim(strings.ReplaceAll(fmt.Sprint(last.files), " ", "/"), "[]")))
	return strings.Join(lines, "\n")
}

// core is what share of a core, in percent, was used between two looks.
func core(a, b look) float64 { return 100 * float64(b.cpu-a.cpu) / float64(b.at.Sub(a.at)) }

func megabytes(bytes []int64) string {
	var out []string
	for _, n := range bytes {
		out = append(out, fmt.Sprintf("%.0f", float64(n)/1e6))
	}
	return strings.Join(out, "/")
}
