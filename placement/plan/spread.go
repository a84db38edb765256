package plan

// Spread tells how even the cluster is, moves under way counted as done.
func Spread(v View) SpreadStatus {
	v.MaxMoves, v.MaxPerBroker = 0, 0
	w := newWorld(v)
	s := SpreadStatus{Brokers: make([]BrokerLoad, len(w.brokers))}
	for i := range w.brokers {
		b := &w.brokers[i]
		s.Brokers[i] = BrokerLoad{Broker: b.id, Replicas: b.replicas, Preferred: b.preferred, Bytes: b.bytes}
	}
	leaders := make([]int, len(w.brokers)) // of the topic at hand
	worst := -1
	for i := range w.topics {
		t := &w.topics[i]
		clear(leaders)
		for n := range t.parts {
			if b := w.at(v.Leaders[t.parts[n].p.Group]); b >= 0 {
				leaders[b]++
				s.Brokers[b].Leaders++
			}
		}
		r := w.apart(t.replicasOn)
		l := w.apart(func(b int) int { return leaders[b] })
		s.TopicReplicas = max(s.TopicReplicas, r)
		s.TopicLeaders = max(s.TopicLeaders, l)
		s.TopicPreferred = max(s.TopicPreferred, w.apart(t.preferredOn))
		if score := r<<32 + l; score > worst {
			worst, s.WorstTopic = score, t.t.Name
		}
	}
	s.Replicas = w.apart(func(b int) int { return w.brokers[b].replicas })
	s.Preferred = w.apart(func(b int) int { return w.brokers[b].preferred })
	s.Leaders = w.apart(func(b int) int { return s.Brokers[b].Leaders })
	var lo, hi int64
	for i, b := range w.targets {
		n := w.brokers[b].bytes
		if i == 0 {
			lo, hi = n, n
		}
		lo, hi = min(lo, n), max(hi, n)
	}
	s.Bytes = hi - lo
	return s
}

// apart is the difference between the brokers with the most and the least, of those that may get replicas.
func (w *world) apart(of func(b int) int) int {
	lo, hi := 0, 0
	for i, b := range w.targets {
		n := of(b)
		if i == 0 {
			lo, hi = n, n
		}
		lo, hi = min(lo, n), max(hi, n)
	}
	return hi - lo
}
