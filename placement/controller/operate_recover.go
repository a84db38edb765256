package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/plan"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// recoverAfter is how long a broker has to be silent before its replicas may be given up by hand, unless ReplaceAfter is shorter. A busy
// broker, or one that restarts, is silent for moments.
const recoverAfter = 30 * time.Second

// recoverAfter is that, by what is set.
func (c *Config) recoverAfter(s *placement.State) time.Duration {
	return min(recoverAfter, c.tuning(s).ReplaceAfter)
}

// planRecovery gives up what cannot come back. It is refused while raft can still decide by itself, or might in a moment.
func (c *Controller) planRecovery(s *placement.State, r RecoverPartition) (placement.Command, []string, *runnelv1.Error) {
	t, p, err := partitionIn(s, r.Topic, r.ID, r.Partition)
	if err != nil {
		return nil, nil, err
	}
	again := !r.Ask && recoveredBefore(s, t, p, r)
	switch {
	case (r.Keep == 0) != r.Anew:
		return nil, nil, invalid("the recovery of %s/%d names the broker whose replica is kept, or says that it begins anew: one of the two", t.Name, r.Partition)
	case again && (len(r.Lost) > 0 || len(p.All()) > 1): // those cannot be lost twice, and one that is no longer alone is recovered with others
		return nil, nil, nil
	case len(r.Lost) == 0 && !r.Ask && (r.Anew || len(p.All()) > 1):
		return nil, nil, invalid("the recovery of %s/%d does not name the replicas that are given up: name those that were shown", t.Name, r.Partition)
	}
	lost := slices.Sorted(slices.Values(r.Lost))
	v := plan.View{State: s, Alive: c.aliveOf(s), Quarantined: c.quarantined()}
	there, stuck, seen := c.majority(p, c.alive), false, ""
	if there {
		var idle time.Duration
		idle, seen = c.vigil(t, r.Partition)
		stuck = idle >= stuckFor
		v.Stuck = map[uint64]bool{p.Group: stuck}
	}
	switch {
	case again && !stuck:
		return nil, nil, nil // it is not known to have been without a leader for long since
	case there && !stuck:
		return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE,
			"a majority of the replicas of %s/%d is there: it needs no recovery by hand, and acknowledged records could be lost by one; if it has no leader all the same, ask again in %s%s", t.Name, r.Partition, stuckFor, seen)
	}
	silent, after := c.hearing.silences(), c.cfg.recoverAfter(s)
	if !stuck && c.majority(p, func(broker int32) bool { return c.alive(broker) || silent[broker] < after }) {
		return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE,
			"a majority of the replicas of %s/%d was there a moment ago (%s) and may come back: ask again when they have been silent for %s", t.Name, r.Partition,
			c.saySilent(p, silent), after)
	}
	cmd, reasons, perr := plan.Recover(v, t.Name, r.Partition, r.Keep)
	if perr != nil {
		return nil, nil, toError(perr)
	}
	if r.Ask {
		return nil, reasons, nil
	}
	if now := slices.Sorted(slices.Values(cmd.Lost)); !slices.Equal(now, lost) {
		return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OUTDATED,
			"the recovery of %s/%d gives up the replicas %v, and %v were named: look again what would be lost", t.Name, r.Partition, now, lost)
	}
	cmd.Note = r.Note
	if again {
		cmd.After = p.Recovered
	}
	return cmd, reasons, nil
}

// recoveredBefore tells whether exactly this has been recorded before. If others were lost it is asked for again; if the only replica was kept
// it may be, or the group is stuck anew.
func recoveredBefore(s *placement.State, t *placement.Topic, p *placement.Partition, r RecoverPartition) bool {
	lost := slices.Sorted(slices.Values(r.Lost))
	kept, _ := p.On(r.Keep)
	return slices.ContainsFunc(s.Recoveries, func(x placement.Recovery) bool {
		return x.TopicID == t.ID && x.Partition == r.Partition && slices.Equal(slices.Sorted(slices.Values(x.Lost)), lost) &&
			(len(lost) > 0 || x.Kept == kept.ID)
	})
}

// saySilent tells since when the brokers of a partition are not heard.
func (c *Controller) saySilent(p *placement.Partition, silent map[int32]time.Duration) string {
	var words []string
	for _, r := range p.All() {
		if !c.alive(r.Broker) {
			words = append(words, fmt.Sprintf("broker %d is silent for %s", r.Broker, silent[r.Broker].Round(time.Second)))
		}
	}
	return strings.Join(words, ", ")
}

// quarantined returns what this leader knows of replicas that can never serve again.
func (c *Controller) quarantined() map[uint64]string {
	if d := c.driving(); d != nil {
		return *d.quarantine.Load()
	}
	return nil
}

// majority tells whether the replicas that are not lost may decide, those being there whose broker is.
func (c *Controller) majority(p *placement.Partition, there func(broker int32) bool) bool {
	bad := c.quarantined()
	return p.MayDecide(func(r placement.Replica) bool {
		_, lost := bad[r.ID]
		return !lost && there(r.Broker)
	})
}
