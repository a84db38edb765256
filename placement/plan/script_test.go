package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/runnel-io/runnel/placement"
)

// TestShapes runs the cluster shapes in testdata. Each file is one or more histories of a small cluster; -rewrite writes the
// plans anew. The commands:
//
//	cluster               a new cluster, drawn in the input:
//	                        brokers 1 2:rack 3:rack     ids rise by one from 1
//	                        topic NAME                  then a line a partition: 0: 1 2 3 (brokers, preferred leader first)
//	set                   what happens, a line each:
//	                        join [rack] · silent B DURATION · wake B · mute B · drain B · undrain B · remove B
//	                        quarantine T/N@B REASON · refuse B REASON · accept B · full B · space B · bytes T/N SIZE (MiB) · leader T/N B · rf T N · add T N
//	                        recover T/N B (keeps the replica on B, or begins anew if B is 0) · stuck T/N · limits MOVES PER-BROKER
//	plan                  what the planner would do
//	start [phase=P]       records the plan and takes its moves to a phase (proposed)
//	settle                plans and finishes until nothing is left; tells how many moves of each kind that took
//	show                  the replicas of every partition, its leader, and its move
//	drain broker=B        how far the drain is
//	spread                how even the cluster is
//	factor topic=T rf=N   what a replication factor would move
func TestShapes(t *testing.T) {
	datadriven.Walk(t, "testdata/shapes", func(t *testing.T, path string) {
		var s *sim
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			switch d.Cmd {
			case "cluster":
				s = drawn(t, d.Input)
			case "set":
				for line := range strings.Lines(d.Input) {
					s.set(&out, strings.Fields(line))
				}
			case "plan":
				printPlan(&out, s, Next(s.v))
			case "start":
				p := Next(s.v)
				s.adopt(p)
				to := string(placement.PhaseProposed)
				d.MaybeScanArgs(t, "phase", &to)
				for m := range s.v.State.Moves() {
					for s.move(m).Phase != placement.Phase(to) && !s.move(m).Cancelled {
						s.step(m)
					}
				}
				fmt.Fprintf(&out, "%d moves under way\n", len(p.Moves))
			case "settle":
				s.settleTo(&out)
			case "show":
				s.show(&out)
			case "drain":
				var b int
				d.ScanArgs(t, "broker", &b)
				printDrain(&out, Drain(s.v, int32(b)))
			case "spread":
				printSpread(&out, Spread(s.v))
			case "factor":
				var topic string
				var rf int
				d.ScanArgs(t, "topic", &topic)
				d.ScanArgs(t, "rf", &rf)
				p, err := ReplicationFactor(s.v, topic, rf)
				if err != nil {
					return err.Error() + "\n"
				}
				printPlan(&out, s, p)
			default:
				t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			}
			return out.String()
		})
	})
}

func drawn(t *testing.T, input string) *sim {
	s := newSim(t)
	var topic string
	var brokers [][]int32
	flush := func() {
		if topic != "" {
			s.create(topic, brokers...)
		}
		topic, brokers = "", nil
	}
	for line := range strings.Lines(input) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case f[0] == "brokers":
			for _, b := range f[1:] {
				_, rack, _ := strings.Cut(b, ":")
				s.join(rack)
			}
		case f[0] == "topic":
			flush()
			topic = f[1]
		default:
			var on []int32
			for _, b := range f[1:] {
				on = append(on, number(t, b))
			}
			brokers = append(brokers, on)
		}
	}
	flush()
	return s
}

func number(t fatal, s string) int32 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return int32(n)
}

// find reads T/N.
func (s *sim) find(at string) (*placement.Topic, int32, *placement.Partition) {
	s.t.Helper()
	name, n, _ := strings.Cut(at, "/")
	topic := s.v.State.Topics[name]
	i := number(s.t, n)
	return topic, i, &topic.Partitions[i]
}

func (s *sim) move(m placement.MoveRef) *placement.Move {
	return s.v.State.Topics[m.Topic.Name].Partitions[m.Partition].Move
}

func (s *sim) set(out *strings.Builder, f []string) {
	s.t.Helper()
	arg := func(i int) int32 { return number(s.t, f[i]) }
	switch f[0] {
	case "join":
		fmt.Fprintf(out, "broker %d\n", s.join(strings.Join(f[1:], "")))
	case "silent":
		d, err := time.ParseDuration(f[2])
		if err != nil {
			s.t.Fatalf("%v", err)
		}
		s.silence(arg(1), d)
	case "wake":
		s.wake(arg(1))
	case "mute":
		s.v.Muted[arg(1)] = true
	case "unmute":
		delete(s.v.Muted, arg(1))
	case "drain", "undrain":
		s.apply(placement.SetDraining{Broker: arg(1), Draining: f[0] == "drain"})
	case "remove":
		s.apply(placement.RemoveBroker{Broker: arg(1)})
	case "quarantine":
		at, b, _ := strings.Cut(f[1], "@")
		_, _, p := s.find(at)
		for _, r := range p.All() {
			if r.Broker == number(s.t, b) {
				s.v.Quarantined[r.ID] = strings.Join(f[2:], " ")
			}
		}
		s.elect()
	case "refuse":
		s.v.Refusing[arg(1)] = strings.Join(f[2:], " ")
	case "accept":
		delete(s.v.Refusing, arg(1))
	case "full":
		s.v.Full = map[int32]bool{arg(1): true}
		s.v.Refusing[arg(1)] = fmt.Sprintf("the disk of broker %d is nearly full", arg(1))
	case "space":
		delete(s.v.Full, arg(1))
		delete(s.v.Refusing, arg(1))
	case "bytes":
		_, _, p := s.find(f[1])
		s.v.Bytes[p.Group] = int64(arg(2)) << 20
	case "leader":
		_, _, p := s.find(f[1])
		s.v.Leaders[p.Group] = arg(2)
	case "rf":
		s.apply(placement.SetReplicationFactor{Topic: f[1], RF: int(arg(2))})
	case "add":
		a, err := AddPartitions(s.v.State, s.v.Alive, f[1], int(arg(2)))
		if err != nil {
			fmt.Fprintln(out, err)
			return
		}
		fmt.Fprintln(out, a.Brokers)
		s.apply(placement.AddPartitions{Topic: f[1], From: len(s.v.State.Topics[f[1]].Partitions), Brokers: a.Brokers})
		s.elect()
	case "stuck":
		_, _, p := s.find(f[1])
		s.v.Stuck = map[uint64]bool{p.Group: true}
	case "recover":
		_, n, _ := s.find(f[1])
		name, _, _ := strings.Cut(f[1], "/")
		c, reasons, err := Recover(s.v, name, n, arg(2))
		if err != nil {
			fmt.Fprintln(out, err)
			return
		}
		for _, r := range reasons {
			fmt.Fprintln(out, r)
		}
		s.apply(c)
		s.elect()
	case "limits":
		s.v.MaxMoves, s.v.MaxPerBroker = int(arg(1)), int(arg(2))
	default:
		s.t.Fatalf("unknown change %v", f)
	}
}

func printPlan(out *strings.Builder, s *sim, p Plan) {
	for _, r := range p.Reasons {
		fmt.Fprintf(out, "# %s\n", r)
	}
	for i, c := range p.Cancels {
		fmt.Fprintf(out, "cancel %d: %s\n", c.Move, p.CancelReasons[i])
	}
	for _, m := range p.Moves {
		var gone []int32
		for _, id := range m.Removes {
			r, _ := s.v.State.Topics[m.Topic].Partitions[m.Partition].Replica(id)
			gone = append(gone, r.Broker)
		}
		fmt.Fprintf(out, "move %s/%d +%v -%v = %v (%s)\n  %s\n", m.Topic, m.Partition, m.AddBrokers, gone, m.OrderBrokers, m.Kind, m.Reason)
	}
	for _, r := range p.PreferredReasons {
		fmt.Fprintf(out, "order %s\n", r)
	}
	for _, x := range p.Transfers {
		fmt.Fprintf(out, "transfer %s/%d from %d to %d: %s\n", x.Topic, x.Partition, x.From, x.To, x.Reason)
	}
	for _, b := range p.Blocked {
		fmt.Fprintf(out, "blocked %s/%d on broker %d: %s\n", b.Topic, b.Partition, b.Broker, b.Reason)
	}
	if p.Empty() && len(p.Blocked) == 0 {
		fmt.Fprintln(out, "nothing to do")
	}
}

// settleTo is settle, and counts.
func (s *sim) settleTo(out *strings.Builder) {
	kinds := map[placement.Kind]int{}
	orders, transfers, cancels := 0, 0, 0
	if p := Next(s.v); len(p.Cancels) > 0 { // what is hopeless is not finished first
		s.adopt(p)
		cancels = len(p.Cancels)
	}
	s.finish()
	for range 1000 {
		p := Next(s.v)
		if p.Empty() {
			if len(p.Blocked) > 0 {
				fmt.Fprintf(out, "blocked: %d\n", len(p.Blocked))
			}
			break
		}
		s.adopt(p)
		for _, m := range p.Moves {
			kinds[m.Kind]++
		}
		orders += len(p.Preferred)
		transfers += len(p.Transfers)
		cancels += len(p.Cancels)
		s.check()
		s.finish()
	}
	if p := Next(s.v); !p.Empty() {
		s.t.Fatalf("the plans do not end: %+v", p)
	}
	var names []string
	for k, n := range kinds {
		names = append(names, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(names)
	if cancels > 0 {
		names = append(names, fmt.Sprintf("cancels %d", cancels))
	}
	names = append(names, fmt.Sprintf("orders %d, transfers %d", orders, transfers))
	fmt.Fprintln(out, strings.Join(names, ", "))
	s.show(out)
	printSpread(out, Spread(s.v))
}

func (s *sim) show(out *strings.Builder) {
	for _, name := range s.v.State.TopicNames() {
		for n, p := range s.v.State.Topics[name].Partitions {
			var on []int32
			for _, r := range p.Replicas {
				on = append(on, r.Broker)
			}
			lead := "no leader"
			if l, ok := s.v.Leaders[p.Group]; ok {
				lead = fmt.Sprintf("leader %d", l)
			}
			fmt.Fprintf(out, "%s/%d: %v %s", name, n, on, lead)
			if m := p.Move; m != nil {
				fmt.Fprintf(out, ", move %d %s %s", m.ID, m.Kind, m.Phase)
				for _, r := range m.Adds {
					fmt.Fprintf(out, " +%d", r.Broker)
				}
				if m.Cancelled {
					fmt.Fprint(out, " cancelled")
				}
			}
			fmt.Fprintln(out)
		}
	}
}

func printDrain(out *strings.Builder, d DrainStatus) {
	fmt.Fprintf(out, "broker %d draining=%v: %d replicas (%d moving, %d MiB), leads %d, votes=%v, empty=%v\n",
		d.Broker, d.Draining, d.Replicas, d.Moving, d.Bytes>>20, d.Leaders, d.Voter, d.Empty())
	for _, b := range d.Blocked {
		fmt.Fprintf(out, "blocked %s/%d: %s\n", b.Topic, b.Partition, b.Reason)
	}
}

func printSpread(out *strings.Builder, s SpreadStatus) {
	fmt.Fprintf(out, "apart: replicas %d, leaders %d, preferred %d; of a topic: replicas %d, leaders %d, preferred %d; bytes %d MiB\n",
		s.Replicas, s.Leaders, s.Preferred, s.TopicReplicas, s.TopicLeaders, s.TopicPreferred, s.Bytes>>20)
	for _, b := range s.Brokers {
		fmt.Fprintf(out, "broker %d: %d replicas, leads %d, preferred %d, %d MiB\n", b.Broker, b.Replicas, b.Leaders, b.Preferred, b.Bytes>>20)
	}
}
