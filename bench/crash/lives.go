package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// stillborn is killed in its first start, when meta.db has its name and nobody has synced that.
func (v *life) stillborn() error {
	v.kill.arm(replicaID{}, killFirstStart)
	return v.open()
}

// first founds the broker, drives its replicas, and stops cleanly.
func (v *life) first() error {
	if err := v.open(); err != nil {
		return err
	}
	err := v.book.do(&mark{Op: "identity"}, func(*mark) error {
		return v.store.SetIdentity(raftlog.Identity{ClusterID: "crash", BrokerID: 1})
	})
	if err != nil {
		return err
	}
	ds, err := v.create(replicaID{1, 11}, replicaID{2, 21}, replicaID{3, 31}, replicaID{4, 41})
	if err != nil {
		return err
	}
	if err := v.together(ds, v.steps); err != nil {
		return err
	}
	return errors.Join(v.deep(), v.closeStore())
}

// deep truncates more entries than one transaction takes, and deletes the replica: its entries would make each further state slow.
func (v *life) deep() error {
	d := v.driver(9, 91)
	d.size = 1 << 20
	for _, step := range []func() error{
		d.create, d.open, func() error { return d.write(2, 1100, 2, 1, 2) }, func() error { return d.write(5, 3, 3, 2, 0) }, d.close,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return v.delete(d.id)
}

// delete raises the floor, as the agent does, and deletes a replica.
func (v *life) delete(id replicaID) error {
	floor := v.book.now().floor + 7
	err := v.book.do(&mark{Op: "floor", Floor: floor}, func(*mark) error { return v.store.RaiseFloor(floor) })
	if err != nil {
		return err
	}
	m := &mark{Op: "delete", Group: id.group, Replica: id.replica}
	return v.book.do(m, func(*mark) error { return v.store.Delete(id.group, id.replica) })
}

// second installs a replica, quarantines one, deletes two, leaves an install under way, and is killed in a commit.
func (v *life) second() error {
	if err := v.open(); err != nil {
		return err
	}
	ds, err := v.opened()
	if err != nil {
		return err
	}
	if err := v.together(ds, v.steps); err != nil {
		return err
	}
	source := ds[0]
	if err := v.install(source, 12, 0); err != nil {
		return err
	}
	if err := errors.Join(source.close(), v.delete(source.id)); err != nil {
		return err
	}
	quarantined := ds[1]
	err = v.book.do(quarantined.mark("quarantine"), func(*mark) error {
		return v.store.Quarantine(quarantined.id.group, quarantined.id.replica, "as an operator says")
	})
	if err != nil {
		return err
	}
	deleted := ds[2]
	if err := deleted.close(); err != nil {
		return err
	}
	v.stuck = deleted.id
	if err := v.delete(deleted.id); !errors.Is(err, errStuck) {
		return fmt.Errorf("a deletion that cannot end: %w", err)
	}
	installed := v.driver(1, 12)
	if err := installed.open(); err != nil {
		return err
	}
	if err := v.together([]*driver{installed, ds[3]}, v.steps/2); err != nil {
		return err
	}
	if err := v.install(ds[3], 42, 1); !errors.Is(err, errLeft) {
		return fmt.Errorf("an install that is left under way: %w", err)
	}
	v.kill.arm(installed.id, killMetaPage)
	return installed.write(installed.now().last()+1, 3, 0, 0, 0)
}

// last recovers one replica by hand, installs another, and stops cleanly.
func (v *life) last() error {
	if err := v.open(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(v.dir, "data", "meta.db.unreadable")); !errors.Is(err, fs.ErrNotExist) {
		return errors.New("meta.db was found unreadable")
	}
	ds, err := v.opened()
	if err != nil {
		return err
	}
	more, err := v.create(replicaID{5, 51}, replicaID{6, 61})
	if err != nil {
		return err
	}
	if err := v.together(append(ds, more...), v.steps); err != nil {
		return err
	}
	if err := more[0].write(more[0].now().last()+1, 3, 0, 0, more[0].now().last()+3); err != nil {
		return err
	}
	if err := v.install(more[0], 52, 0); err != nil {
		return err
	}
	if err := more[1].close(); err != nil {
		return err
	}
	return errors.Join(v.recover(more[1].id), v.closeStore())
}

// killedInRoll works on what the life before was killed in, and is killed when a new segment has its name, which is not synced.
func (v *life) killedInRoll() error {
	if err := v.open(); err != nil {
		return err
	}
	ds, err := v.opened()
	if err != nil {
		return err
	}
	if err := v.together(ds, v.steps/4); err != nil {
		return err
	}
	v.kill.arm(ds[0].id, killNewName)
	for range 8 {
		if err := ds[0].write(ds[0].now().last()+1, 6, 0, 0, 0); err != nil {
			return err
		}
	}
	return nil // only a store that does not sync the name lives so long
}

// killedInTruncation goes on in the segment whose name was not synced, and is killed when a segment is unlinked, which is not synced.
func (v *life) killedInTruncation() error {
	if err := v.open(); err != nil {
		return err
	}
	ds, err := v.opened()
	if err != nil {
		return err
	}
	d := ds[0]
	for range 4 {
		if err := d.write(d.now().last()+1, 8, 0, 0, 0); err != nil {
			return err
		}
	}
	r := d.now()
	v.kill.arm(d.id, killGoneName)
	return d.write(min(r.commit, r.last())+1, 2, r.term+1, 1, 0)
}

// killedInVote goes on in the shorter log, and is killed when meta.db has a vote that is not synced.
func (v *life) killedInVote() error {
	if err := v.open(); err != nil {
		return err
	}
	ds, err := v.opened()
	if err != nil {
		return err
	}
	d := ds[0]
	r := d.now()
	if err := d.write(r.last()+1, 2, r.term+1, 2, 0); err != nil {
		return err
	}
	if err := v.together(ds, v.steps/4); err != nil {
		return err
	}
	v.kill.arm(replicaID{}, killMetaPage)
	return d.write(0, 0, d.now().term+1, 3, 0)
}
