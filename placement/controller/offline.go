package controller

import (
	"bytes"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	"github.com/runnel-io/runnel/placement"
)

// What is known of a replica of the group that does not run.

// Offline is what the log of such a replica holds.
type Offline struct {
	// State is that after all of its entries, those among them that may never have been committed.
	State *placement.State
	// Last and Term are of its last entry, LastMS is when it was appended by the leader's clock, 0 if no entry that is left tells.
	Last, Term uint64
	LastMS     int64
}

// ReadOffline reads the log of a replica that does not run.
func ReadOffline(s *raftlog.Store, replica uint64) (o Offline, err error) {
	o.State = placement.New()
	err = eachOffline(s, replica, func(cp []byte) error {
		if len(cp) == 0 {
			return nil
		}
		o.State, err = placement.Unmarshal(cp)
		return err
	}, func(m record.Meta, command []byte) error {
		o.Last, o.Term, o.LastMS = m.Index, m.Term, max(o.LastMS, m.AppendMS)
		if command == nil {
			return nil
		}
		cmd, err := placement.Decode(command)
		if err != nil {
			return &unknownCommand{m.Index, err}
		}
		next, _, err := placement.Apply(o.State, cmd)
		if err == nil { // a refused one changes nothing, here as where it runs
			o.State = next
		}
		return nil
	})
	return o, err
}

// RecoveredOffline is the newest recovery of the group that a replica's log knows of, false if there is none. It is for a replica that is about
// to start: what its log holds is applied only after that, and those that were given up must never be heard.
func RecoveredOffline(s *raftlog.Store, replica uint64) (r placement.ControllerRecovery, ok bool, err error) {
	behind := false // the checkpoint
	err = eachOffline(s, replica, func(cp []byte) error {
		if !bytes.Contains(cp, []byte(`"controller_recoveries"`)) {
			return nil
		}
		o, err := placement.Unmarshal(cp)
		if err != nil {
			return err
		}
		r, ok = o.ControllerRecovered()
		return nil
	}, func(_ record.Meta, command []byte) error {
		if !bytes.Contains(command, []byte(`"recover_controller"`)) {
			return nil
		}
		if cmd, err := placement.Decode(command); err == nil {
			if c, is := cmd.(placement.RecoverController); is {
				r, ok, behind = placement.ControllerRecovery{Kept: c.Kept, Broker: c.Broker, Lost: c.Lost, Below: c.Below, Note: c.Note}, true, true
			}
		}
		return nil
	})
	if err != nil || !behind {
		return r, ok, err
	}
	if o, err := ReadOffline(s, replica); err == nil { // else whom not to hear is known, though not the revision
		if full, known := o.State.ControllerRecovered(); known && full.Below == r.Below {
			r = full
		}
	}
	return r, ok, nil
}

// Heed tells of the newest recovery that the log of a replica knows of, before its group is started with it: states that it applies until it
// gets there may know of none or of an older one.
func (c *Controller) Heed(r placement.ControllerRecovery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heeded = r
}

// silence has a group never hear the replicas that were given up by hand, as its log or a state says.
func (c *Controller) silence(g group, s *placement.State) {
	r, ok := s.ControllerRecovered()
	c.mu.Lock()
	if c.heeded.Below > r.Below {
		r, ok = c.heeded, true
	}
	c.mu.Unlock()
	if x, takes := g.(interface{ SetGoneIf(gone func(uint64) bool) }); ok && takes {
		x.SetGoneIf(r.GivesUp)
	}
}

// eachOffline gives a log's newest checkpoint and the entries after it; command is nil for those that hold none.
func eachOffline(s *raftlog.Store, replica uint64, checkpoint func(state []byte) error, entry func(m record.Meta, command []byte) error) error {
	l, err := s.OpenLog(placement.ControllerGroup, replica, raftlog.LogOptions{})
	if err != nil {
		return err
	}
	err = func() error {
		cp := l.Checkpoint()
		if err := checkpoint(cp.State); err != nil {
			return fmt.Errorf("the controller's checkpoint at entry %d: %w", cp.Index, err)
		}
		last, err := l.LastIndex()
		if err != nil {
			return err
		}
		if err := entry(record.Meta{Index: cp.Index, Term: cp.Term}, nil); err != nil || last == cp.Index {
			return err
		}
		return l.FoldEntries(cp.Index+1, last, func(m record.Meta, payload []byte) error {
			if m.Conf || m.Kind != record.KindCommand {
				return entry(m, nil)
			}
			_, _, command, err := openPayload(payload)
			if err != nil {
				return &unknownCommand{m.Index, err}
			}
			return entry(m, command)
		})
	}()
	if cerr := l.Close(); err == nil {
		err = cerr
	}
	return err
}

// OfflineEntry is the data of an entry that holds a command of nobody who runs.
func OfflineEntry(cmd placement.Command, now time.Time) ([]byte, error) {
	b, err := placement.Encode(cmd)
	if err != nil {
		return nil, err
	}
	return putPayload(0, 0, now.UnixMilli(), b), nil
}
