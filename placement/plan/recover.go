package plan

import (
	"fmt"
	"slices"

	"github.com/runnel-io/runnel/placement"
)

// Recover plans the recovery by hand of a partition whose majority is lost: its replica on broker keep goes on alone. keep 0 means
// that nothing is left to keep: the partition begins anew, empty, on as many brokers as its topic asks for, or as there are. The
// reasons tell what is lost.
//
// It refuses, with a *placement.Error, as long as the partition can go on without: while a majority serves, unless it is stuck all the
// same (View.Stuck), and beginning anew while any replica serves.
func Recover(v View, name string, partition, keep int32) (placement.RecordRecovery, []string, error) {
	var c placement.RecordRecovery
	if v.State == nil || v.State.Topics[name] == nil {
		return c, nil, placement.Errorf(placement.CodeUnknownTopic, "topic %q does not exist", name)
	}
	t := v.State.Topics[name]
	if partition < 0 || int(partition) >= len(t.Partitions) {
		return c, nil, placement.Errorf(placement.CodeInvalid, "topic %q has partitions 0 to %d, not %d", name, len(t.Partitions)-1, partition)
	}
	w := newWorld(v)
	i := slices.IndexFunc(w.topics, func(x topic) bool { return x.t == t })
	p := &w.topics[i].parts[partition]
	if err := w.mayRecover(p); err != nil {
		return c, nil, err
	}
	c.TopicID, c.Partition = t.ID, partition
	if keep != 0 {
		r, err := w.kept(p, keep)
		if err != nil {
			return c, nil, err
		}
		c.Kept = r.ID
	} else if err := w.anew(p, &c); err != nil {
		return c, nil, err
	}
	var reasons []string
	for _, r := range p.p.All() {
		if r.ID == c.Kept {
			continue
		}
		c.Lost = append(c.Lost, r.ID)
		reasons = append(reasons, fmt.Sprintf("replica %d on broker %d is lost (%s)", r.ID, r.Broker, w.condition(r)))
	}
	if keep == 0 {
		reasons = append(reasons, fmt.Sprintf("all records of %s/%d are lost, and its offsets begin at 0 again, on brokers %v", name, partition, c.Brokers))
	} else {
		reasons = append(reasons, fmt.Sprintf("records that replica %d on broker %d does not hold are lost, acknowledged ones too", c.Kept, keep))
	}
	return c, reasons, nil
}

// mayRecover refuses as long as the partition may have its majority, unless that does not find together.
func (w *world) mayRecover(p *part) error {
	if w.v.Stuck[p.p.Group] {
		return nil
	}
	may := p.p.MayDecide(func(r placement.Replica) bool {
		b := w.at(r.Broker)
		return b >= 0 && w.serves(slot{id: r.ID, broker: b})
	})
	if !may {
		return nil
	}
	now := w.quorum(w.slots(p.p.Replicas))
	if !now.ok() {
		now = w.quorum(p.at)
	}
	return placement.Errorf(placement.CodeInvalid, "%d of %d replicas of %s/%d serve: it has its majority, and nothing has to be given up", now.serve, now.of, p.topic.t.Name, p.n)
}

// kept finds the replica on a broker that can be kept, a learner only if the broker holds no other.
func (w *world) kept(p *part, broker int32) (placement.Replica, error) {
	r, ok := p.p.On(broker)
	if !ok || w.condition(r) != serving {
		if j, joins := p.p.Joining(broker); joins {
			r, ok = j, true
		}
	}
	if !ok {
		return r, placement.Errorf(placement.CodeInvalid, "broker %d has no replica of %s/%d to keep", broker, p.topic.t.Name, p.n)
	}
	if is := w.condition(r); is != serving {
		return r, placement.Errorf(placement.CodeInvalid, "replica %d of %s/%d on broker %d cannot be kept: %s", r.ID, p.topic.t.Name, p.n, broker, is)
	}
	return r, nil
}

const serving = "it serves"

// condition says how a replica is.
func (w *world) condition(r placement.Replica) string {
	b := w.at(r.Broker)
	why, bad := w.v.Quarantined[r.ID]
	switch {
	case bad:
		return "it is quarantined: " + why
	case b < 0:
		return "its broker is no member any more"
	case !w.brokers[b].alive:
		return fmt.Sprintf("its broker has been silent for %s", w.silence(b))
	}
	return serving
}

// anew places a partition of which nothing is left.
func (w *world) anew(p *part, c *placement.RecordRecovery) error {
	m := p.p.Move
	for _, r := range p.p.All() {
		if r.Learner && !m.KnownInstalled() {
			continue // not known to be installed
		}
		if w.condition(r) == serving {
			return placement.Errorf(placement.CodeInvalid, "broker %d holds a replica of %s/%d that serves: keep it", r.Broker, p.topic.t.Name, p.n)
		}
	}
	w.count(p, -1)
	p.at = nil
	for len(p.at) < p.topic.rf {
		b := w.place(p, -1, false)
		if b < 0 {
			break
		}
		p.at = append(p.at, slot{broker: b})
		c.Brokers = append(c.Brokers, w.brokers[b].id)
	}
	if len(p.at) == 0 {
		return placement.Errorf(placement.CodeNotEnoughBrokers, "%s/%d has no broker to begin anew on: %s", p.topic.t.Name, p.n, w.noPlace(1))
	}
	return nil
}
