package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// defects are counters that are above 0 only if the program, or a disk, did what it must not.
func defects(f *facts) []Finding {
	var all []Finding
	for _, b := range f.brokers {
		for _, m := range []struct {
			name, what string
			bad        bool
		}{
			{"runnel_broker_panics_total", "defects were met while requests were served", true},
			{"runnel_raft_panics_total", "defects stopped a replica each", true},
			{"runnel_controller_unknown_commands", "commands of the controller are unknown to its version", true},
			{"runnel_raft_stalled_groups", "partitions cannot acknowledge: their disk does not answer", true},
			{"runnel_raft_waiting_for_space_groups", "replicas cannot write: their disk, or a quota, is full", true},
		} {
			n, _ := b.metrics.sum(m.name)
			if n <= 0 {
				continue
			}
			do := "send this bundle and the log of the broker to whoever maintains Runnel"
			switch m.name {
			case "runnel_controller_unknown_commands":
				do = "upgrade the broker to the version of the others"
			case "runnel_raft_stalled_groups":
				do = "look at the disk (iostat, dmesg); leaders leave it by themselves"
			case "runnel_raft_waiting_for_space_groups":
				do = "free space, or have the quota raised: they go on by themselves, " + guide + ", \"disk full\""
			}
			all = append(all, Finding{m.bad, fmt.Sprintf("%s: %.0f %s (%s)", b.name, n, m.what, m.name), do})
		}
	}
	return all
}

func versions(f *facts) []Finding {
	by := map[string][]string{}
	for _, b := range f.brokers {
		if b.version != "" {
			by[b.version] = append(by[b.version], b.name)
		}
	}
	if len(by) < 2 {
		return nil
	}
	var list []string
	for v, names := range by {
		list = append(list, fmt.Sprintf("%s runs %s", some(names), v))
	}
	slices.Sort(list)
	return warn("brokers run different versions: "+strings.Join(list, "; "), "fine while an upgrade is under way; else upgrade the rest, "+guide+", \"upgrade\"")
}

// clocks finds brokers whose clocks are surely apart. Headers give whole seconds, so little differences are not seen.
func clocks(f *facts) []Finding {
	var first, last *brokerFacts
	for _, b := range f.brokers {
		if b.clock == nil {
			continue
		}
		if first == nil || b.clock.ahead < first.clock.ahead {
			first = b
		}
		if last == nil || b.clock.ahead > last.clock.ahead {
			last = b
		}
	}
	if first == nil {
		return nil
	}
	const do = "have chrony or ntpd keep the hosts' clocks. Nothing is lost by it, but retention and timestamps go by them, and certificates"
	if d := last.clock.ahead - first.clock.ahead; d-first.clock.wrong-last.clock.wrong > clocksApart {
		return warn(fmt.Sprintf("clocks are apart: that of %s is %s ahead of that of %s", last.name, d.Round(time.Second), first.name), do)
	}
	if d := first.clock; d.ahead.Abs()-d.wrong > clocksApart {
		return warn(fmt.Sprintf("this machine's clock and the brokers' are %s apart", d.ahead.Abs().Round(time.Second)), do)
	}
	return nil
}

const raiseFiles = "raise it: LimitNOFILE=1048576 in the unit, or ulimit -n before brokerd is started"

func limits(f *facts) []Finding {
	var all []Finding
	low := map[float64][]string{} // by limit
	for _, b := range f.brokers {
		most, told := b.metrics.sum("process_max_fds")
		if !told {
			continue
		}
		open, _ := b.metrics.sum("process_open_fds")
		switch {
		case open > filesUsed*most:
			all = append(all, bad(fmt.Sprintf("%s has %.0f of %.0f files open that its limit allows", b.name, open, most), raiseFiles)...)
		case most < fewFiles:
			low[most] = append(low[most], b.name)
		}
	}
	for _, most := range slices.Sorted(maps.Keys(low)) { // mostly one limit for all
		all = append(all, warn(fmt.Sprintf("%.0f open files are allowed to %s: a segment is one, so that is low for many partitions", most, some(low[most])), raiseFiles)...)
	}
	return all
}

func certificates(f *facts) []Finding {
	var all []Finding
	for _, b := range f.brokers {
		if b.metrics == nil {
			continue
		}
		for _, s := range b.metrics.samples["runnel_tls_certificate_not_after_seconds"] {
			if s.value <= 0 || b.clock == nil { // without its clock there is nothing to compare with
				continue
			}
			left := time.Unix(int64(s.value), 0).Sub(b.asked.Add(b.clock.ahead))
			const do = "put a new one in its place: it is read again by itself, without a restart; " + guide + ", \"certificates\""
			switch {
			case left < 0:
				all = append(all, bad(fmt.Sprintf("%s: its certificate (%s) ended %s ago", b.name, s.label("use"), left.Abs().Round(time.Minute)), do)...)
			case left < certificate:
				all = append(all, warn(fmt.Sprintf("%s: its certificate (%s) ends in %s", b.name, s.label("use"), left.Round(time.Hour)), do)...)
			}
		}
	}
	return all
}

// thin finds partitions with fewer replicas than their topic is to have, which are in step as far as they go: after a recovery by hand,
// or where there are too few brokers.
func thin(f *facts) []Finding {
	want := map[string]int32{}
	for _, t := range f.topics {
		want[t.GetName()] = t.GetReplicationFactor()
	}
	var list []string
	for _, t := range f.described {
		for _, p := range t.GetPartitions() {
			if n := int32(len(p.GetReplicas())); n < want[t.GetName()] { //nolint:gosec // a handful
				list = append(list, fmt.Sprintf("%s/%d has %d of %d", t.GetName(), p.GetPartition(), n, want[t.GetName()]))
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	return warn(fmt.Sprintf("%s have fewer replicas than their topic should have: %s", partitions(len(list)), some(list)),
		"they are made by themselves where there is a broker for them: brokerctl placement plan tells, and says if one is lacking")
}

// singles finds topics that one disk can take with it.
func singles(f *facts) []Finding {
	if len(f.brokers) < 2 {
		return nil
	}
	var list []string
	for _, t := range f.topics {
		if t.GetReplicationFactor() == 1 {
			list = append(list, t.GetName())
		}
	}
	if len(list) == 0 {
		return nil
	}
	return warn(fmt.Sprintf("%d topics have one replica, on one disk: %s", len(list), some(list)), "brokerctl topic alter NAME --replication-factor 3, if their records matter")
}
