package partition

import runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"

// A gap in a producer's sequence, or a producer nobody knows, may only mean that this leader was deposed and has not heard of it: the batches
// before this one went to its successor. A definite refusal would have the producer give up what the successor would take. So such a refusal
// waits until a majority has confirmed, after the batch was judged, that this replica leads (RULES 16); if it does not lead, the batch
// has had no effect, and its producer is to ask the leader.

// doubtful are refusals of one turn that wait for one ReadIndex.
type doubtful struct {
	items   []*pending
	refused []*runnelv1.Error // of each
}

// needsProof tells whether a refusal is one that a deposed leader gives in error. Epochs never fall and what was applied stays written, so the
// others hold whoever leads.
func needsProof(e *runnelv1.Error) bool {
	return e.GetReason() == reasonOutOfOrder || e.GetReason() == reasonUnknownProd
}

// doubt keeps a refusal until prove.
func (t *turn) doubt(it *pending, e *runnelv1.Error) {
	if t.doubtful == nil {
		t.doubtful = &doubtful{}
	}
	it.buf = nil
	t.doubtful.items, t.doubtful.refused = append(t.doubtful.items, it), append(t.doubtful.refused, e)
}

// prove answers the turn's doubtful refusals once it is known whether this replica leads, or when the session ends.
func (p *Partition) prove() {
	d := p.turn.doubtful
	p.turn.doubtful = nil
	if d == nil {
		return
	}
	p.doubted = append(p.doubted, d)
	p.attached.Load().group.ReadIndex(func(_ uint64, err error) { // on the worker
		for i, x := range p.doubted {
			if x == d {
				p.doubted = append(p.doubted[:i:i], p.doubted[i+1:]...)
				p.settle(d, err == nil)
				return
			}
		}
	})
}

// settle gives the refusals, or says that the batches had no effect if nothing proves that this replica leads.
func (p *Partition) settle(d *doubtful, leads bool) {
	for i, it := range d.items {
		e := d.refused[i]
		if !leads {
			e = p.notLeader(p.status())
		}
		p.metrics.refuse(e)
		it.finish(ProduceResult{Err: e, Base: -1})
	}
}

// dropDoubted ends all that wait: the session is over.
func (p *Partition) dropDoubted() {
	all := p.doubted
	p.doubted = nil
	for _, d := range all {
		p.settle(d, false)
	}
}
