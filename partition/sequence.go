package partition

import (
	"github.com/runnel-io/runnel/partition/env/mutant"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// verdict is what a leader does with a batch.
type verdict struct {
	// join: an equal batch is in flight, share its answer.
	join *pending
	// duplicate: it was applied before, at base.
	duplicate bool
	base      int64
	// refuse: it must not be written.
	refuse *runnelv1.Error
	// known: the folded table has its producer.
	known bool
}

// judge checks a batch's sequence against the applied state and what is in flight, in this order: the newest batch in
// flight says which epoch and sequence come next; a batch that is neither next nor known is refused. Every refusal is
// definite, and a batch that follows a refused one is refused too, since its sequence is not next either.
func (p *Partition) judge(it *pending) verdict {
	if it.pid < 0 {
		return verdict{}
	}
	applied := p.folded.producers[it.pid]
	v := verdict{known: applied != nil}
	epoch, next := int16(0), int32(0)
	switch newest := p.inflight.newest(it.pid); {
	case newest != nil:
		epoch, next = newest.epoch, addSeq(newest.seq, newest.count)
	case applied != nil:
		epoch, next = applied.epoch, applied.next()
	case it.seq != 0 && !mutant.On(mutant.DedupeLostOnFailover):
		v.refuse = runnelv1.Errorf(reasonUnknownProd,
			"%s knows nothing of producer %d, whose sequence is at %d: it was idle for too long, make a new producer", p.name, it.pid, it.seq)
		return v
	case len(p.folded.producers)+p.inflight.fresh >= maxProducers:
		v.refuse = runnelv1.Errorf(reasonManyProd, "%s has %d idempotent producers already: use fewer, longer lived ones", p.name, maxProducers)
		return v
	default:
		return v
	}
	switch {
	case it.epoch < epoch:
		v.refuse = runnelv1.Errorf(reasonFenced, "producer %d writes to %s with epoch %d, a newer instance has %d: close this one", it.pid, p.name, it.epoch, epoch)
		return v
	case it.epoch > epoch:
		if it.seq != 0 {
			v.refuse = p.outOfOrder(it, 0)
		}
		return v
	case it.seq == next:
		return v
	}
	if v.join = p.inflight.find(it); v.join != nil {
		return v
	}
	oldest := next
	if applied != nil && applied.epoch == it.epoch {
		if v.base, v.duplicate = applied.find(it.seq, it.count); v.duplicate {
			return v
		}
		oldest = applied.window[0].seq
	}
	if behind(it.seq, next) && behindOrAt(addSeq(it.seq, it.count), oldest) {
		v.refuse = runnelv1.Errorf(reasonDuplicateSeq,
			"producer %d sent sequence %d of %s again, which is older than its %d newest batches: it was written, its offset is forgotten", it.pid, it.seq, p.name, seqWindow)
		return v
	}
	v.refuse = p.outOfOrder(it, next)
	return v
}

func behindOrAt(seq, next int32) bool { return seq == next || behind(seq, next) }

func (p *Partition) outOfOrder(it *pending, next int32) *runnelv1.Error {
	return runnelv1.Errorf(reasonOutOfOrder,
		"producer %d sent sequence %d to %s, the next one is %d: a batch before it failed, send that first", it.pid, it.seq, p.name, next)
}
