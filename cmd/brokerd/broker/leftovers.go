package broker

import "fmt"

// A data folder that names no cluster and has replicas lost its meta.db, which says whose they are. It may be the last that has them: no cluster
// is founded over it (rule 28). Whoever knows a cluster lets it in as a new broker, as one with an empty disk, and the replicas are kept aside.

// lookForLeftovers counts the replicas of a folder that names no cluster, once, before anybody is told that it is empty.
func (b *Broker) lookForLeftovers() (err error) {
	if b.store.Identity().ClusterID != "" {
		return nil
	}
	if b.leftovers, err = b.store.Strays(); err != nil {
		return fmt.Errorf("%s names no cluster, and whether it holds data cannot be seen: %w", b.cfg.DataDir, err)
	}
	return nil
}

// keepLeftovers moves them out of the way of new replicas. The cluster may have been founded after theirs, and give their names again.
func (b *Broker) keepLeftovers() error {
	if b.leftovers == 0 {
		return nil
	}
	to, err := b.store.KeepStrays()
	if err != nil {
		return err
	}
	if to != "" {
		b.log.Warn("meta.db was lost, so this broker joins as a new one; the replicas that its disk held are kept, and may be deleted if nothing in them is needed",
			"component", "broker", "folder", to, "replicas", b.leftovers)
	}
	return nil
}
