// Command starvation saturates all processors with work that has nothing to do with the brokers, at their own priority, and looks whether
// brokers that are slow are taken for dead: gossip may give up none, no replica may be removed or replaced, nothing may be lost, and no error
// may reach a client. Elections are counted, and how often a broker was taken for silent that was there all the time; watch.go says how many
// pass. At the end one broker is made to stand still: what was counted must rise then.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/source"
	"github.com/runnel-io/runnel/bench/stream"
	"github.com/runnel-io/runnel/bench/workload"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	topic = "starved"
	// lookEvery is between two looks at placement and gossip.
	lookEvery = 2 * time.Second
	// saturated is the least share of the processors' time that must be in use, or the run shows nothing.
	saturated = 0.97
	// replaceAfter is how long a broker is silent before its replicas are made anew elsewhere. The default is minutes; a slow broker is not silent
	// for a quarter of one either.
	replaceAfter = 15 * time.Second
)

type options struct {
	root, brokerd string
	duration      time.Duration
	spinners      int
	partitions    int
	rate          int
}

func main() {
	var o options
	flag.StringVar(&o.root, "source", "", "folder whose files are sent (default: the Go standard library's source)")
	flag.StringVar(&o.brokerd, "brokerd", "", "program to run (default: the one of this source)")
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "how long the processors are saturated")
	flag.IntVar(&o.spinners, "spinners", 4*runtime.NumCPU(), "processes that do nothing but use a processor")
	flag.IntVar(&o.partitions, "partitions", 24, "partitions of the topic")
	flag.IntVar(&o.rate, "rate", 500, "records a second, beside one at a time on each partition")
	flag.Bool("spin", false, "internal: this process is a spinner")
	if len(os.Args) > 1 && os.Args[1] == "-spin" {
		spinForever()
	}
	proc.Main("starvation", 3*time.Hour, func(ctx context.Context, dir string) error { return starve(ctx, o, dir) })
}

// spinForever uses one processor until whoever started it is gone.
func spinForever() {
	runtime.GOMAXPROCS(2) // one for the reader below
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}()
	for n := uint64(1); ; n = n*6364136223846793005 + 1 {
		if n == 0 { // never: the compiler must not know
			fmt.Println(n)
		}
	}
}

// spinners are running ones.
type spinners struct {
	cmds  []*exec.Cmd
	stdin []interface{ Close() error }
}

func startSpinners(n int) (*spinners, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &spinners{}
	for range n {
		cmd := exec.Command(self, "-spin")
		in, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			s.stop()
			return nil, err
		}
		s.cmds, s.stdin = append(s.cmds, cmd), append(s.stdin, in)
	}
	return s, nil
}

func (s *spinners) stop() {
	for i, cmd := range s.cmds {
		_ = s.stdin[i].Close()
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
}

func starve(ctx context.Context, o options, dir string) (err error) {
	if o.root, err = source.Root(ctx, o.root); err != nil {
		return err
	}
	files, err := source.List(o.root)
	if err != nil {
		return err
	}
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3, Brokerd: o.brokerd, Args: []string{"--replacement-after", replaceAfter.String()}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	if err := workload.CreateTopic(ctx, cluster.Seeds(), topic, int32(o.partitions)); err != nil {
		return err
	}
	cl, err := client.New(cluster.Seeds())
	if err != nil {
		return err
	}
	defer cl.Close()
	s, err := stream.Start(ctx, stream.Options{
		Seeds: cluster.Seeds(), Topic: topic, Partitions: int32(o.partitions), Root: o.root, Files: files, Rate: o.rate, Every: 200 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	w := &watcher{cluster: cluster, cl: cl, dir: dir, partitions: o.partitions}
	if err := w.begin(ctx); err != nil {
		return s.Abort(err)
	}
	calm, err := w.watch(ctx, s, "calm", 15*time.Second)
	if err != nil {
		return s.Abort(err)
	}
	spin, err := startSpinners(o.spinners)
	if err != nil {
		return s.Abort(err)
	}
	starved, err := w.watch(ctx, s, "starved", o.duration)
	spin.stop()
	if err != nil {
		return s.Abort(err)
	}
	v, err := s.Stop(ctx)
	if err != nil {
		return err
	}
	again, err := s.Reread(ctx, cluster.Seeds())
	if err != nil {
		return err
	}
	fmt.Printf("%d processors, %d spinners, %d partitions\n%s\n%s\n", runtime.NumCPU(), o.spinners, o.partitions, calm.line("calm"), starved.line("starved"))
	fmt.Printf("%d records acknowledged, lost %d, duplicated %d\n", s.Acked(), max(v.Lost, again.Lost), max(v.Duplicated, again.Duplicated))
	if err := w.control(ctx); err != nil {
		return err
	}
	wrong := w.wrong
	for _, err := range []error{v.Err(), again.Err()} {
		if err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if starved.busy < saturated {
		wrong = append(wrong, fmt.Sprintf("the processors were busy for %.0f%% of the time: that shows nothing", 100*starved.busy))
	}
	if len(wrong) > 0 {
		return errors.New("violations:\n  " + strings.Join(wrong, "\n  "))
	}
	fmt.Println("no violation: every replica is where it was, and nothing was lost")
	return nil
}
