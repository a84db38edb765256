package agent

import "github.com/runnel-io/runnel/placement"

// waking knows which of the replicas that were on the disk at the start of the broker have still to be opened. Until all are, or a
// few seconds are over, none stands for election: see multiraft.GroupConfig.Held. It needs Agent.mu.
type waking struct {
	closed map[uint64]bool // by replica id
	over   bool
}

// begin takes what is on the disk, and tells whether that is nothing.
func (w *waking) begin(onDisk map[uint64]onDisk) (over bool) {
	w.closed = make(map[uint64]bool, len(onDisk))
	for id, d := range onDisk {
		if d.quarantine == "" && d.group != placement.ControllerGroup {
			w.closed[id] = true
		}
	}
	return w.ends()
}

// tried notes that a replica was opened, that it failed or that it is gone, and tells whether it was the last.
func (w *waking) tried(id uint64) (over bool) {
	delete(w.closed, id)
	return w.ends()
}

func (w *waking) ends() bool {
	if w.over || len(w.closed) > 0 {
		return false
	}
	w.over = true
	return true
}
