package client

import (
	"context"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// idState is the newest producer id. Partitions start with it, and only a partition that breaks its sequence needs a newer
// one; sequences are counted per partition, so partitions may share an id.
type idState struct {
	gen uint64 // 0: none yet
	id  int64
	// used is the newest generation that partitions have written with that were dropped since: they may come back.
	used uint64
	want uint64 // the generation that someone waits for
	poke chan struct{}
}

func (p *producer) wantIDLocked(gen uint64) {
	p.ids.want = max(p.ids.want, gen)
	select {
	case p.ids.poke <- struct{}{}:
	default:
	}
}

// newQueueLocked makes a partition's queue. Where partitions were dropped it takes no id from before that: it may be one of them, which has
// used up its first sequences, and what is sent with them again is answered as written.
func (p *producer) newQueueLocked(topic string, num int32) *queue {
	return &queue{topic: topic, num: num, leader: leader{id: noLeader}, idGen: p.ids.used, needID: p.ids.used > 0}
}

// runIDs is the goroutine that gets producer ids.
func (p *producer) runIDs() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.ids.poke:
		}
		p.mu.Lock()
		wanted := p.ids.want > p.ids.gen
		p.mu.Unlock()
		if !wanted {
			continue
		}
		id, err := p.newID(p.ctx)
		if err != nil { // only the end of ctx or an answer that trying again does not change
			if p.ctx.Err() == nil {
				p.failWaitingForID(err)
			}
			continue
		}
		p.mu.Lock()
		p.ids.gen++
		p.ids.id = id
		for _, t := range p.topics {
			for _, q := range t.parts {
				p.readyLocked(q)
			}
		}
		p.mu.Unlock()
	}
}

func (p *producer) newID(ctx context.Context) (int64, *Error) {
	c := p.caller()
	c.patient, c.unanimous = true, true
	resp, err := retry(ctx, c, &runnelv1.InitProducerRequest{}, brokerCall(runnelv1.BrokerClient.InitProducer))
	if err != nil {
		return 0, runnelv1.AsError(err)
	}
	return resp.GetProducerId(), nil
}

// failWaitingForID fails what cannot be sent because the cluster refuses to give a producer id.
func (p *producer) failWaitingForID(err *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids.want = p.ids.gen
	for _, t := range p.topics {
		waits := false
		for _, q := range t.parts {
			waits = waits || (q.idGen == 0 || q.needID) && !q.empty()
		}
		if waits {
			p.dropTopicLocked(t, err)
		}
	}
}
