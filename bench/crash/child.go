package main

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// The recorded process runs the broker's lives one after the other, each in a process of its own: a store that was not closed
// leaves its locks only with its process. Most lives end by SIGKILL at a moment when the page cache has what the disk has not: the next
// life finds it and goes by it, so by then it must be safe.
var lives = []func(v *life) error{
	(*life).stillborn, (*life).first, (*life).second, (*life).killedInRoll, (*life).killedInTruncation, (*life).killedInVote, (*life).last,
	(*life).cluster,
}

// runLives is the process that strace runs.
func runLives(dir, marks string, seed uint64, steps int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for life := range lives {
		cmd := exec.Command(self, "-life", strconv.Itoa(life+1), "-dir", dir, "-marks", marks,
			"-seed", strconv.FormatUint(seed, 10), "-steps", strconv.Itoa(steps))
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		err := cmd.Run()
		if killed(err) {
			err = nil // by its own hand
		}
		if err != nil {
			return fmt.Errorf("life %d: %w", life+1, err)
		}
	}
	return nil
}

// life is one of them.
type life struct {
	dir   string
	book  *book
	store *raftlog.Store
	rnd   *rand.Rand
	steps int
	seed  uint64
	// stuck is the replica whose folder cannot be removed: its deletion is left for the next start.
	stuck replicaID
	kill  killer
}

var errStuck = errors.New("this folder stays, so that the next life ends its deletion")

func runLife(n int, dir, marks string, seed uint64, steps int) error {
	f, err := os.OpenFile(marks, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l, err := readMarks(marks)
	if err != nil {
		return err
	}
	v := &life{dir: dir, book: &book{l: l, w: f}, rnd: rand.New(rand.NewPCG(seed, uint64(n))), steps: steps, seed: seed}
	return errors.Join(lives[n-1](v), f.Close())
}

func readMarks(path string) (*ledger, error) {
	l := newLedger()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		m, err := parseMark(in.Bytes())
		if err != nil {
			return nil, err
		}
		if l, err = l.take(m); err != nil {
			return nil, err
		}
	}
	return l, in.Err()
}

// open opens the store and settles what the life before left under way.
func (v *life) open() error {
	o := options(filepath.Join(v.dir, "data"))
	o.Hooks.Opened = v.kill.opened
	o.Hooks.FS = func(op raftlog.FSOp) error {
		v.kill.folder(op)
		if v.stuck.group != 0 && op.Kind == "removeall" && strings.HasSuffix(op.Path, v.stuck.folder()) {
			return errStuck
		}
		return nil
	}
	if v.book.now().flux[replicaID{}] != nil {
		if err := v.book.put(&mark{Op: "open", Undone: true}); err != nil {
			return err
		}
	}
	err := v.book.do(&mark{Op: "open"}, func(done *mark) (err error) {
		if v.store, err = raftlog.Open(o); err == nil {
			done.Text = v.store.Identity().Incarnation
		}
		return err
	})
	if err != nil {
		return err
	}
	there := map[replicaID]bool{}
	for _, r := range v.store.Replicas() {
		there[replicaID{r.Group, r.Replica}] = true
	}
	for id, m := range v.book.now().flux {
		end := &mark{Op: m.Op, Group: id.group, Replica: id.replica}
		switch {
		case m.Op == "append":
			continue // for whoever opens its log
		case there[id]:
			return fmt.Errorf("%s is there after %s", id, m.Op)
		case m.Op == "delete":
			end.Done = true
		case m.Op == "install":
			end.Undone = true
		default:
			return fmt.Errorf("%s was left under way for %s", m.Op, id)
		}
		if err := v.book.put(end); err != nil {
			return err
		}
	}
	return nil
}

func (v *life) driver(group, replica uint64) *driver {
	seed := group<<32 | replica
	return &driver{
		rnd: rand.New(rand.NewPCG(v.seed^v.rnd.Uint64(), seed)), book: v.book, store: v.store, id: replicaID{group, replica},
	}
}

// together runs drivers at once, each in its own goroutine, so that their writes and syncs mingle.
func (v *life) together(ds []*driver, steps int) error {
	errs := make([]error, len(ds))
	var wg sync.WaitGroup
	for i, d := range ds {
		wg.Go(func() {
			for n := range steps {
				if err := d.step(); err != nil {
					errs[i] = fmt.Errorf("%s, step %d: %w", d.id, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// opened are drivers of all replicas that can be opened.
func (v *life) opened() (ds []*driver, err error) {
	for _, r := range v.store.Replicas() {
		if r.Quarantine != "" {
			continue
		}
		d := v.driver(r.Group, r.Replica)
		if err := d.open(); err != nil {
			return nil, err
		}
		if err := d.settle(); err != nil {
			return nil, err
		}
		ds = append(ds, d)
	}
	return ds, nil
}

// create makes replicas and opens them.
func (v *life) create(ids ...replicaID) (ds []*driver, err error) {
	for _, id := range ids {
		d := v.driver(id.group, id.replica)
		if err := d.create(); err != nil {
			return nil, err
		}
		if err := d.open(); err != nil {
			return nil, err
		}
		ds = append(ds, d)
	}
	return ds, nil
}

func (v *life) closeStore() error {
	return v.book.do(&mark{Op: "close"}, func(*mark) error { return v.store.Close() })
}
