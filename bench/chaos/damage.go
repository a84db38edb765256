package main

import (
	"bytes"
	"os"
)

// A broker may give up replicas, or end itself, because of a fault of its disk, and for no other reason. So what a fault has done to each
// disk is kept until it must have shown; after that the disk counts as sound again.

// looksAgain is how often all copies must have been seen whole since a disk was hit. Between two such looks is another fault of a disk, so
// what was about to be reported at the first has been by the second.
const looksAgain = 2

// harm notes that the machine's disk is hit.
func (m *machine) harm() { m.doubt.Store(looksAgain) }

// damaged tells whether a fault of the disk may still show.
func (m *machine) damaged() bool { return m.doubt.Load() > 0 }

// renew empties the disk: as sound as a new one.
func (m *machine) renew() error {
	m.doubt.Store(0)
	return m.Wipe()
}

// whole notes that all copies were seen whole. It is called by the lane whose faults hit disks, so none of those is on.
func (r *run) whole() {
	for _, m := range r.machines {
		if m.damaged() {
			m.doubt.Add(-1)
		}
	}
}

// endedItself is what to say of a broker that ended by itself.
func (r *run) endedItself(m *machine) {
	r.mu.Lock()
	excused := m.leaving || m.damaged()
	r.mu.Unlock()
	if !excused {
		r.violate("run", "broker %d ended by itself, and nothing damaged its disk: %s", m.Number, lastLine(m.LogFile()))
	}
}

// lastLine is the last line of a log.
func lastLine(path string) string {
	const enough = 4096
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	raw := make([]byte, min(st.Size(), enough))
	if _, err := f.ReadAt(raw, st.Size()-int64(len(raw))); err != nil {
		return err.Error()
	}
	raw = bytes.TrimSpace(raw)
	return string(raw[bytes.LastIndexByte(raw, '\n')+1:])
}
