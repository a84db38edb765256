package rescue

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
)

// Folder is the data folder of a broker that does not run.
type Folder struct {
	dir   string
	store *raftlog.Store
	clock env.Clock
	stop  func()
}

// Open locks a data folder. It never makes one.
func Open(dir string, log *slog.Logger) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(dir, "meta.db")); err != nil {
		return nil, fmt.Errorf("%s is no broker's data folder (%w): name that of the broker that is to keep the cluster", dir, err)
	}
	e, stop := env.NewReal(env.RealOptions{Log: log})
	store, err := raftlog.Open(raftlog.Options{Dir: dir, Log: log, Clock: e.Clock, Tool: true})
	if err != nil {
		stop()
		if errors.Is(err, raftlog.ErrInUse) {
			err = fmt.Errorf("%w: stop the broker first", err)
		}
		return nil, err
	}
	return &Folder{dir: dir, store: store, clock: e.Clock, stop: stop}, nil
}

// Close unlocks the folder.
func (f *Folder) Close() error {
	defer f.stop()
	return f.store.Close()
}

// Member is a replica of the controller group, and where it is as far as the log tells.
type Member struct {
	Replica uint64
	Broker  int32 // 0: unknown
	Address string
	Votes   bool
}

// Report is what a folder holds of the controller group.
type Report struct {
	Identity raftlog.Identity
	Replica  uint64 // this broker's
	// Votes tells whether it does; a learner may lack more than a voter.
	Votes bool
	// Others are the members beside it, the voters first.
	Others []Member
	controller.Offline
}

// Look reads the replica of the controller group. Errors say why it cannot go on alone.
func (f *Folder) Look() (*Report, error) {
	r := &Report{Identity: f.store.Identity()}
	quarantine := ""
	for _, x := range f.store.Replicas() {
		if x.Group == placement.ControllerGroup && x.Replica > r.Replica {
			r.Replica, quarantine = x.Replica, x.Quarantine
		}
	}
	switch {
	case r.Identity.ClusterID == "" || r.Replica == 0:
		return nil, fmt.Errorf("%s holds no replica of a controller group: choose the folder of another broker", f.dir)
	case quarantine != "":
		return nil, fmt.Errorf("replica %d of the controller group in %s is quarantined and must not go on (%s): choose the folder of another broker",
			r.Replica, f.dir, quarantine)
	}
	var err error
	if r.Offline, err = controller.ReadOffline(f.store, r.Replica); err != nil {
		return nil, err
	}
	conf, err := f.store.ConfAtEnd(placement.ControllerGroup, r.Replica)
	if err != nil {
		return nil, err
	}
	if b := r.State.Brokers[r.Identity.BrokerID]; r.State.ClusterID != r.Identity.ClusterID || b == nil || b.Incarnation != r.Identity.Incarnation {
		return nil, fmt.Errorf("the controller's log in %s does not know broker %d yet: choose the folder of another broker", f.dir, r.Identity.BrokerID)
	}
	voters := slices.Concat(conf.GetVoters(), conf.GetVotersOutgoing())
	add := func(ids []uint64, votes bool) {
		for _, id := range ids {
			if id != r.Replica && !slices.ContainsFunc(r.Others, func(m Member) bool { return m.Replica == id }) {
				r.Others = append(r.Others, memberOf(r.State, id, votes))
			}
		}
	}
	r.Votes = slices.Contains(voters, r.Replica)
	add(voters, true)
	add(slices.Concat(conf.GetLearners(), conf.GetLearnersNext()), false)
	return r, nil
}

func memberOf(s *placement.State, id uint64, votes bool) Member {
	m := Member{Replica: id, Votes: votes}
	for _, r := range s.Controller {
		if r.ID == id {
			m.Broker = r.Broker
		}
	}
	if b := s.Brokers[m.Broker]; b != nil {
		m.Address = b.PeerAddr
	}
	return m
}

// Alone tells whether the group's majority is this replica, so that nothing is to be recovered.
func (r *Report) Alone() bool {
	return r.Votes && !slices.ContainsFunc(r.Others, func(m Member) bool { return m.Votes })
}

// LastAppend is when the newest entry was written; the zero time if no entry tells.
func (r *Report) LastAppend() time.Time {
	if r.LastMS == 0 {
		return time.Time{}
	}
	return time.UnixMilli(r.LastMS)
}

// Recover has the replica of a report go on alone. The folder must be as Look saw it, which its lock sees to.
func (f *Folder) Recover(r *Report, note string) error {
	if r.Alone() {
		return errors.New("this broker's replica is the only voter of the controller group: nothing is to be recovered, start the broker")
	}
	if len(note) > placement.MaxReasonBytes {
		return fmt.Errorf("the note is %d bytes long: at most %d are allowed", len(note), placement.MaxReasonBytes)
	}
	var lost []uint64
	for _, m := range r.Others {
		lost = append(lost, m.Replica)
	}
	cmd := placement.NewRecoverController(r.State, r.Replica, r.Identity.BrokerID, lost, note)
	if _, _, err := placement.Apply(r.State, cmd); err != nil {
		return err
	}
	entry, err := controller.OfflineEntry(cmd, f.clock.Wall())
	if err != nil {
		return err
	}
	_, err = f.store.RecoverAlone(placement.ControllerGroup, r.Replica, entry)
	return err
}
