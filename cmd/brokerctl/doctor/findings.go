package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Finding is something that looks wrong.
type Finding struct {
	// Bad: clients notice it, or data is in danger. Otherwise it may become so.
	Bad bool `json:"bad"`
	// What is wrong, and what to Do.
	What string `json:"what"`
	Do   string `json:"do"`
}

// Thresholds of the findings.
const (
	fewFiles      = 65536               // brokerd warns of less at its start, too
	filesUsed     = 0.8                 // of the limit
	clocksApart   = 3 * time.Second     // beyond what the measuring can be wrong
	certificate   = 14 * 24 * time.Hour // that is valid for less
	diskFactor    = 2                   // free space in reserves below which a disk is low
	diskFallback  = float64(2 << 30)    // the same in bytes, of a broker that does not tell its reserve
	diskShare     = 0.1                 // of the disk, free
	examples      = 3                   // named of many
	leastStanding = 2 * time.Second     // moves are not said to stand still after less
	guide         = "deploy/README.md"  // where the steps stand
)

// judge draws the findings: bad ones first, otherwise in the order of the questions below, from the whole to the single broker.
func judge(f *facts) []Finding {
	var all []Finding
	for _, look := range []func(*facts) []Finding{
		unanswered, uncontrolled, leaderless, brokersDown, quarantined, disks, unhealthy, underReplicated, thin, blocked, standing,
		defects, versions, clocks, limits, certificates, singles,
	} {
		all = append(all, look(f)...)
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		switch {
		case a.Bad == b.Bad:
			return 0
		case a.Bad:
			return -1
		}
		return 1
	})
	return all
}

func bad(what, do string) []Finding  { return []Finding{{true, what, do}} }
func warn(what, do string) []Finding { return []Finding{{false, what, do}} }

func unanswered(f *facts) []Finding {
	if f.statusErr == nil {
		return nil
	}
	return bad("the cluster does not answer: "+oneLine(f.statusErr),
		"see whether brokerd runs on the hosts and what its log says; --brokers names other addresses, --http brokers' HTTP addresses")
}

func uncontrolled(f *facts) []Finding {
	switch {
	case f.status == nil:
		return nil
	case f.status.GetControllerId() <= 0:
		return bad("no controller is known: nothing can be changed and nothing heals",
			"start the brokers that are down. If a majority of the controller's voters is gone for good: brokerd controller recover, "+guide+" has the steps")
	case f.status.GetPlacementUnknown() != "":
		return bad("the controller does not tell of moves: "+f.status.GetPlacementUnknown(), "ask again in a minute; if it stays so, look into the log of the broker that leads the controller")
	}
	return nil
}

func leaderless(f *facts) []Finding {
	list := f.status.GetLeaderless()
	if len(list) == 0 {
		return nil
	}
	return bad(fmt.Sprintf("%s without a leader take no records: %s", partitions(len(list)), problems(list)),
		"bring their brokers back. Only if they are gone for good: brokerctl partition recover; "+guide+" has the steps")
}

func underReplicated(f *facts) []Finding {
	list := f.status.GetUnderReplicated()
	if len(list) == 0 {
		return nil
	}
	return warn(fmt.Sprintf("%s have fewer replicas in step than they should: %s", partitions(len(list)), problems(list)),
		"bring back brokers that are down; what is silent for replacement.after is replaced by itself, brokerctl placement plan tells how far that is")
}

func brokersDown(f *facts) []Finding {
	var down []string
	for _, b := range f.brokers {
		if !b.alive {
			down = append(down, b.name)
		}
	}
	var all []Finding
	if len(down) > 0 {
		all = bad("not heard by the others: "+some(down),
			"start it, or see why it cannot be reached. One that will not come back: "+guide+", \"replace a broker\"")
	}
	for _, b := range f.brokers {
		if b.alive && b.httpErr != nil {
			all = append(all, warn(fmt.Sprintf("%s gives no metrics: %s", b.name, oneLine(b.httpErr)),
				"it may listen for this machine only (http.listen): run doctor where its HTTP address can be reached")...)
		}
	}
	return all
}

func quarantined(f *facts) []Finding {
	var list []string
	for _, q := range f.plan.GetQuarantined() {
		list = append(list, fmt.Sprintf("%s/%d on broker %d (%s)", q.GetTopic(), q.GetPartition(), q.GetBroker(), q.GetReason()))
	}
	if len(list) == 0 {
		return nil
	}
	return bad(fmt.Sprintf("%d replicas stopped since their disk cannot be trusted: %s", len(list), some(list)),
		"they are made anew elsewhere by themselves if there is room; look at the disk of those brokers (dmesg, smartctl) before you trust it again")
}

func disks(f *facts) []Finding {
	var all []Finding
	for _, b := range f.brokers {
		free, told := b.metrics.sum("runnel_broker_disk_free_bytes")
		if !told {
			continue
		}
		full, _ := b.metrics.sum("runnel_broker_disk_full")
		reserve, hasReserve := b.metrics.sum("runnel_broker_disk_reserve_bytes")
		total, _ := b.metrics.sum("runnel_broker_disk_total_bytes")
		least := diskFallback
		if hasReserve {
			least = max(diskFactor*reserve, diskShare*total)
		}
		do := "free space: other files on the disk, shorter retention (brokerctl topic alter), or another broker; " + guide + ", \"disk full\""
		switch {
		case full > 0:
			all = append(all, bad(fmt.Sprintf("%s refuses records: its disk has %s free", b.name, bytesText(free)), do)...)
		case free < least:
			all = append(all, warn(fmt.Sprintf("%s: its disk has %s free", b.name, bytesText(free)), do)...)
		}
	}
	return all
}

func unhealthy(f *facts) []Finding {
	var all []Finding
	for _, b := range f.brokers {
		switch {
		case b.metrics == nil:
		case b.healthy != "":
			all = append(all, bad(fmt.Sprintf("%s is about to end: %s", b.name, b.healthy), "its log has the reason; what is to be done about it stands there")...)
		case b.ready != "":
			all = append(all, warn(fmt.Sprintf("%s is not ready: %s", b.name, b.ready), "wait for it if it has just started; its log tells how far it is")...)
		}
	}
	return all
}

func blocked(f *facts) []Finding {
	var list []string
	for _, c := range f.status.GetBlocked() {
		switch {
		case c.GetTopic() != "":
			list = append(list, fmt.Sprintf("%s/%d: %s", c.GetTopic(), c.GetPartition(), c.GetReason()))
		default:
			list = append(list, c.GetReason())
		}
	}
	if len(list) == 0 {
		return nil
	}
	n := len(list) + int(f.status.GetBlockedMore())
	return warn(fmt.Sprintf("%d changes should be made and cannot be: %s", n, some(list)), "most want another broker, or more space; brokerctl placement plan has all of them")
}

// standing finds moves that neither changed their phase nor received anything between the two questions, and say what they wait for.
func standing(f *facts) []Finding {
	if f.apart < leastStanding {
		return nil
	}
	before := map[uint64]*runnelv1.MoveDescription{}
	for _, m := range f.before {
		before[m.GetId()] = m
	}
	var list []string
	for _, m := range f.after {
		was := before[m.GetId()]
		if was == nil || m.GetWaiting() == "" || was.GetPhase() != m.GetPhase() || was.GetBytesDone() != m.GetBytesDone() {
			continue
		}
		list = append(list, fmt.Sprintf("%s/%d (%s, %s)", m.GetTopic(), m.GetPartition(), m.GetPhase(), m.GetWaiting()))
	}
	if len(list) == 0 {
		return nil
	}
	return warn(fmt.Sprintf("%d moves stood still for %s: %s", len(list), f.apart.Round(time.Second), some(list)),
		"see to what they wait for; brokerctl partition cancel turns a move back until it is in phase joint")
}

func partitions(n int) string {
	if n == 1 {
		return "1 partition"
	}
	return fmt.Sprintf("%d partitions", n)
}

func problems(list []*runnelv1.PartitionProblem) string {
	words := make([]string, 0, len(list))
	for _, p := range list {
		words = append(words, fmt.Sprintf("%s/%d (%s)", p.GetTopic(), p.GetPartition(), p.GetReason()))
	}
	return some(words)
}

// some names the first of many.
func some(list []string) string {
	if n := len(list) - examples; n > 0 {
		return strings.Join(list[:examples], "; ") + fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(list, "; ")
}
