package partition

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
)

// Restore implements multiraft.Machine.
func (p *Partition) Restore(cp raftlog.Checkpoint) error {
	f, err := decodeFolded(cp.Next, cp.LogStart, cp.State)
	if err != nil {
		return err
	}
	p.folded = f
	p.publish()
	return nil
}

// Apply implements multiraft.Machine. Answers wait for Applied, so that whoever gets one finds the high watermark moved.
func (p *Partition) Apply(m record.Meta, payload []byte) {
	out := p.folded.apply(m, payload)
	switch {
	case out.void:
		p.metrics.void.Inc()
		p.log.Error("an entry is void: its term or offset is not the one that comes next here, and all replicas skip it",
			"term", m.Term, "index", m.Index, "next", m.Next)
	case out.unknown:
		p.metrics.unknownCommands.Inc()
		p.log.Error("a command is unknown to this version and skipped: upgrade this broker", "term", m.Term, "index", m.Index)
	case out.trimmed:
		p.metrics.trims.Inc()
		// At once: whoever reads the log start must not find it below what the log still has.
		p.logStart.Store(p.folded.logStart)
		p.trimDue = true
	case out.expired > 0:
		p.metrics.expired.Add(float64(out.expired))
	}
	if !p.sess.active || m.Term != p.sess.term && !mutant.On(mutant.SessionOutlivesTerm) {
		return
	}
	switch {
	case m.Kind == record.KindBatch && !m.Void:
		if it := p.inflight.first(m.Base); it != nil {
			p.acked = append(p.acked, it)
		}
	case m.Kind == record.KindCommand:
		if c, ok := parseCommand(payload); ok {
			p.sess.trimming = p.sess.trimming && c.kind != commandTrim
			p.sess.expiring = p.sess.expiring && c.kind != commandExpire
		}
	}
}

// Applied implements multiraft.Machine.
func (p *Partition) Applied(uint64) {
	p.publish()
	if a := p.attached.Load(); p.trimDue && a != nil { // while the log is folded at start there is no group yet
		p.trimDue = false
		a.group.Trim(p.folded.logStart)
	}
	if len(p.acked) > 0 {
		p.acknowledge()
	}
	p.waiters.fire(p.folded.next)
}

func (p *Partition) publish() {
	p.logStart.Store(p.folded.logStart)
	p.hw.Store(p.folded.next)
	p.producerCount.Store(int64(len(p.folded.producers)))
}

func (p *Partition) acknowledge() {
	var records, bytes int64
	for i, it := range p.acked {
		records += int64(it.count)
		bytes += it.size
		it.finish(ProduceResult{Base: it.base, LogStart: p.folded.logStart})
		p.acked[i] = nil
	}
	p.metrics.produced.Add(float64(len(p.acked)))
	p.metrics.producedRecords.Add(float64(records))
	p.metrics.producedBytes.Add(float64(bytes))
	p.counts.producedRecords.Add(records)
	p.counts.producedBytes.Add(bytes)
	p.acked = p.acked[:0]
}

// Conf implements multiraft.Machine. Membership is no part of a partition's state.
func (p *Partition) Conf(*raftpb.ConfState) {
	if mutant.On(mutant.OffsetSkippedAfterConf) && p.sess.active {
		p.sess.next++
	}
}

// Checkpoint implements multiraft.Machine.
func (p *Partition) Checkpoint() (next, logStart int64, state []byte) {
	return p.folded.next, p.folded.logStart, p.folded.encode()
}

// Stopped implements multiraft.Machine: it answers everybody who still waits.
func (p *Partition) Stopped() {
	p.Applied(0) // what is applied is acknowledged, even if its Applied never came
	p.Stop()
	p.SessionEnded(p.stoppingError())
}
