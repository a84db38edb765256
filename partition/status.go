package partition

import "slices"

// Status is a snapshot of the replica.
type Status struct {
	// Leader says that this replica leads in session.
	Leader bool
	// LeaderBroker is the leader's broker as this replica knows it, 0 if it knows none; Term the replica's term.
	LeaderBroker int32
	Term         uint64
	// HW is the high watermark, LogStart the first offset that can be read.
	HW, LogStart int64
	// Quarantine is why the replica is out of service, or "".
	Quarantine string
	// InSync are the replica ids, this one's included, that have everything committed as far as they have told. It says
	// nothing of whether their brokers still live: an idle partition hears of its replicas too seldom to know, brokers
	// of each other all the time. Only a leader knows; nil elsewhere.
	InSync []uint64
	// Bytes is the size of the log on this broker, Segments how many files it has.
	Bytes    int64
	Segments int
	// Unapplied is how many entries are in the log here and not applied: not committed as far as this replica knows, or not folded yet.
	Unapplied uint64
	// Producers is how many idempotent producers are remembered.
	Producers int
}

// Status tells how the replica is. It does not touch the disk.
func (p *Partition) Status() Status {
	s := Status{HW: p.hw.Load(), LogStart: p.logStart.Load(), Producers: int(p.producerCount.Load())}
	a := p.attached.Load()
	if a == nil {
		return s
	}
	if err := a.group.Healthy(); err != nil {
		s.Quarantine = err.Error()
		return s
	}
	st := a.group.Status()
	s.Leader, s.LeaderBroker, s.Term = st.Session, st.LeadBroker, st.Term
	segments := a.log.Segments()
	s.Segments = len(segments)
	for _, g := range segments {
		s.Bytes += g.Bytes
	}
	if st.Last > st.Applied {
		s.Unapplied = st.Last - st.Applied
	}
	if st.Session {
		s.InSync = []uint64{p.cfg.Replica}
		for id, peer := range st.Peers {
			if id != p.cfg.Replica && peer.Match >= st.PeersFloor {
				s.InSync = append(s.InSync, id)
			}
		}
		slices.Sort(s.InSync)
	}
	return s
}

// CaughtUp tells whether the replica, as its leader sees it, has everything committed. Only a leader knows.
func (s Status) CaughtUp(replica uint64) bool { return slices.Contains(s.InSync, replica) }
