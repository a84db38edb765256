package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	procs = flag.Int("sim.procs", runtime.NumCPU(), "how many processes run seeds side by side")
	child = flag.Bool("sim.child", false, "run the seeds that standard input names, and answer each with a line")
)

const (
	// mark begins a line that is for the parent.
	mark = "SEED "
	// seedLimit is how long a seed may take, in true time, before it counts as hanging.
	seedLimit = 2 * time.Minute
	// enough seeds are so many that each invariant must have been checked and each fault have fired.
	enough = 100
)

// TestSeeds runs histories. One seed is run here, with its hash; more than one are dealt out to processes: the random source is the
// process's, and so is the number of processors.
func TestSeeds(t *testing.T) {
	switch {
	case *child:
		beChild(t)
	case *oneSeed >= 0 || *manySeeds == 1:
		seed := *fromSeed
		if *oneSeed >= 0 {
			seed = uint64(*oneSeed)
		}
		began := time.Now()
		r := run(t, Config{Seed: seed, Out: history(seed)})
		sum := newSummary()
		sum.add(&r, nil)
		sum.print(os.Stdout, time.Since(began))
		judge(t, r)
		fmt.Printf("trace hash %016x of seed %d\n", r.Hash, seed)
	case *manySeeds > 1:
		runMany(t, *fromSeed, *manySeeds)
	default:
		n := uint64(3)
		if testing.Short() {
			n = 1
		}
		for seed := uint64(1); seed <= n; seed++ {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { judge(t, run(t, Config{Seed: seed})) })
		}
	}
}

// beChild runs seeds as they are named. It leaves judging to the parent.
func beChild(t *testing.T) {
	debug.SetGCPercent(400)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		seed, err := strconv.ParseUint(in.Text(), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		var r Report
		t.Run("seed", func(t *testing.T) { r = run(t, Config{Seed: seed}) })
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\n%s%s\n", mark, b)
	}
}

// worker is a child process that runs one seed at a time.
type worker struct {
	cmd  *exec.Cmd
	to   io.WriteCloser
	from *bufio.Reader
	said tail
}

// tail keeps the end of what a child says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (x *tail) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.b = append(x.b, p...)
	if len(x.b) > 64<<10 {
		x.b = append([]byte(nil), x.b[len(x.b)-64<<10:]...)
	}
	return len(p), nil
}

// String is the first panic in it, or the end.
func (x *tail) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.b
	if i := bytes.Index(b, []byte("panic:")); i >= 0 {
		return string(b[i:min(len(b), i+3000)])
	}
	return string(b[max(0, len(b)-1500):])
}

func startWorker() (*worker, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &worker{cmd: exec.Command(exe, "-test.run=^TestSeeds$", "-test.timeout=0", "-sim.child", "-sim.spell="+spell.String())}
	w.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	w.cmd.Stderr = &w.said
	if w.to, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.from = bufio.NewReader(out)
	return w, w.cmd.Start()
}

// run has the child run a seed. An error means that it is no use any more.
func (w *worker) run(seed uint64) (r Report, err error) {
	var hung atomic.Bool
	timer := time.AfterFunc(seedLimit, func() {
		hung.Store(true)
		_ = w.cmd.Process.Kill() // it may have ended
	})
	defer timer.Stop()
	if _, err := fmt.Fprintln(w.to, seed); err != nil {
		return r, err
	}
	for {
		line, err := w.from.ReadString('\n')
		if b, ok := strings.CutPrefix(line, mark); ok {
			return r, json.Unmarshal([]byte(b), &r)
		}
		_, _ = w.said.Write([]byte(line)) // into memory
		if err != nil {
			_ = w.cmd.Wait() // what it says is in said
			if hung.Load() {
				return r, fmt.Errorf("it did not end within %s", seedLimit)
			}
			return r, errors.New("its process ended: " + w.said.String())
		}
	}
}

func (w *worker) stop() {
	_ = w.to.Close() // the child ends at that
	_ = w.cmd.Wait()
}

// runMany deals seeds out and judges them all.
func runMany(t *testing.T, from uint64, count int) {
	began := time.Now()
	seeds := make(chan uint64)
	go func() {
		defer close(seeds)
		for i := range uint64(count) {
			seeds <- from + i
		}
	}()
	var mu sync.Mutex
	sum := newSummary()
	var running sync.WaitGroup
	for range min(*procs, count) {
		running.Go(func() {
			var w *worker
			for seed := range seeds {
				var err error
				if w == nil {
					w, err = startWorker()
				}
				var r Report
				if err == nil {
					r, err = w.run(seed)
				}
				if err != nil {
					r, w = Report{Seed: seed}, nil
				}
				mu.Lock()
				sum.add(&r, err)
				if n := sum.seeds; n%50 == 0 && n < count {
					fmt.Printf("%d of %d seeds, %d red, %s\n", n, count, sum.red, time.Since(began).Round(time.Second))
				}
				mu.Unlock()
			}
			if w != nil {
				w.stop()
			}
		})
	}
	running.Wait()
	sum.print(os.Stdout, time.Since(began))
	for _, why := range sum.faults(count >= enough) {
		t.Error(why)
	}
}
