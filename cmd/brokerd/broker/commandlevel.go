package broker

// commandLevel tells the highest level of the controller's commands that a member's release reads, as it announces it; false if it is not heard of.
func (b *Broker) commandLevel(id int32) (int, bool) {
	cluster := b.store.Identity().ClusterID
	for _, m := range b.gossip.Members() {
		if m.ClusterID == cluster && m.BrokerID == id {
			return int(m.Level), true
		}
	}
	return 0, false
}
