package agent

import (
	"fmt"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Partition finds this broker's replica of a partition. It is on the way of every produce and fetch and takes no lock.
//
// Errors: UNKNOWN_TOPIC and UNKNOWN_PARTITION as far as this broker's state tells; NOT_LEADER with the leader, if
// known, when the replicas are on other brokers or the one here is quarantined; UNAVAILABLE while it is being opened.
func (a *Agent) Partition(topic string, n int32) (*partition.Partition, *runnelv1.Error) {
	s := a.latest.Load()
	t := s.Topics[topic]
	if t == nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q does not exist", topic)
	}
	if n < 0 || int(n) >= len(t.Partitions) {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION, "topic %q has partitions 0 to %d, not %d", topic, len(t.Partitions)-1, n)
	}
	p := &t.Partitions[n]
	if v, ok := a.running.Load(p.Group); ok {
		return v.(*live).partition, nil
	}
	return nil, a.elsewhere(s, topic, n, p)
}

// elsewhere says why there is no running replica here, and where to go.
func (a *Agent) elsewhere(s *placement.State, topic string, n int32, p *placement.Partition) *runnelv1.Error {
	own, here := p.On(a.cfg.BrokerID) // one that joins is no address for requests before it runs
	why := fmt.Sprintf("broker %d has no replica of %s/%d", a.cfg.BrokerID, topic, n)
	if here {
		a.mu.Lock()
		r := a.replicas[own.ID]
		var lost, fault string
		if r != nil {
			lost, fault = r.lost, r.fault
		}
		a.mu.Unlock()
		switch {
		case lost != "":
			why = fmt.Sprintf("the replica of %s/%d on broker %d is quarantined (%s)", topic, n, a.cfg.BrokerID, lost)
		case fault != "":
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the replica of %s/%d on broker %d could not be started (%s): try again", topic, n, a.cfg.BrokerID, fault)
		default:
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the replica of %s/%d on broker %d is starting: try again", topic, n, a.cfg.BrokerID)
		}
	}
	e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "%s", why)
	if lead, term, ok := a.host.Leader(p.Group); ok && lead != a.cfg.BrokerID {
		e.LeaderId, e.LeaderTerm = lead, int64(term)
		if b := s.Brokers[lead]; b != nil {
			e.LeaderAddress = b.ClientAddr
		}
	}
	return e
}
