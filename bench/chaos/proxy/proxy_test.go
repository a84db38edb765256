package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// childVar has the test binary connect to an address and pass on what it is given: a process of its own.
const childVar = "RUNNEL_TEST_CONNECT_TO"

func TestMain(m *testing.M) {
	if to := os.Getenv(childVar); to != "" {
		c, err := net.Dial("tcp", to)
		if err != nil {
			os.Exit(1)
		}
		go func() { _, _ = io.Copy(c, os.Stdin) }() // ends with the process
		_, _ = io.Copy(os.Stdout, c)
		return
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for what must happen; it is never a measure.
const patience = 20 * time.Second

// host gives each test process loopback addresses of its own.
func host(n int) string {
	return fmt.Sprintf("127.%d.%d.%d", 200+os.Getpid()>>8&15, os.Getpid()&255, n)
}

// fixture is two nodes, with somebody who listens behind the second.
type fixture struct {
	*Network
	nodes []*Node
	taken chan *net.TCPConn // connections that have come to node 2's peer address
	pid   chan int          // node 1's process, once it is known; closed: none
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{taken: make(chan *net.TCPConn, 10), pid: make(chan int, 1)}
	for i := 1; i <= 2; i++ {
		own, front := host(i), host(100+i)
		f.nodes = append(f.nodes, &Node{
			Number: i, Peer: own + ":7071", Gossip: own + ":7072", Client: own + ":7070",
			FrontPeer: front + ":7071", FrontGossip: front + ":7072", FrontClient: front + ":7070",
			PID: func() int {
				if i == 1 {
					return <-f.pid
				}
				return 0
			},
		})
	}
	l, err := net.Listen("tcp", f.nodes[1].Peer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.taken <- c.(*net.TCPConn)
		}
	}()
	if f.Network, err = New(f.nodes, 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func dial(t *testing.T, to string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *fixture) take(t *testing.T) net.Conn {
	t.Helper()
	select {
	case c := <-f.taken:
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		return c
	case <-time.After(patience):
		t.Fatal("no connection came through")
		return nil
	}
}

func send(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, r io.Reader, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	if _, err := io.ReadFull(r, buf); err != nil || string(buf) != want {
		t.Fatalf("got %q, %v; want %q", buf, err, want)
	}
}

func TestACutHoldsUpOneDirection(t *testing.T) {
	f := start(t)
	close(f.pid)
	near := dial(t, f.nodes[1].FrontPeer)
	send(t, near, "hello")
	far := f.take(t)
	receive(t, far, "hello")

	f.Cut(Pair{0, 2})
	if n := f.Hits(Pair{0, 2}, Pair{2, 0}); n != 0 {
		t.Errorf("a cut that nothing has met counts %d hits", n)
	}
	send(t, near, "held up")
	for range 100 { // the other direction goes on
		send(t, far, "tick")
		receive(t, near, "tick")
	}
	// What had passed would be read at once. A deadline in the past would fail the read whatever is there.
	if err := far.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := far.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes passed a cut path, %v", n, err)
	}
	if err := far.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	f.hit(t, Pair{0, 2}, 1)
	if n := f.Hits(Pair{2, 0}); n != 0 {
		t.Errorf("%d hits of the way that was never cut", n)
	}
	f.Heal(false, Pair{0, 2})
	receive(t, far, "held up")
}

func TestTwoCutsNeedTwoHeals(t *testing.T) {
	p := newPath()
	f := &Network{paths: map[[2]int]*path{{1, 2}: p}}
	f.Cut(Pair{1, 2})
	f.Cut(Pair{1, 2})
	f.Heal(false, Pair{1, 2})
	if !p.loses(1) {
		t.Error("one of two faults that cut a path has healed it")
	}
	f.Heal(false, Pair{1, 2})
	if p.loses(1) {
		t.Error("the path is cut still")
	}
}

func TestAResetLosesWhatWasOnItsWay(t *testing.T) {
	f := start(t)
	close(f.pid)
	near := dial(t, f.nodes[1].FrontPeer)
	send(t, near, "hello")
	far := f.take(t)
	receive(t, far, "hello")
	f.Cut(Pair{0, 2})
	send(t, near, "lost")
	f.Heal(true, Pair{0, 2})
	if n, err := far.Read(make([]byte, 10)); n > 0 || err == nil {
		t.Fatalf("%d bytes came, %v", n, err)
	}
	if _, err := near.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the near side was not told: %v", err)
	}
	send(t, dial(t, f.nodes[1].FrontPeer), "anew")
	receive(t, f.take(t), "anew")
}

func TestAShutNodeRefuses(t *testing.T) {
	f := start(t)
	close(f.pid)
	f.Shut(2)
	if _, err := net.Dial("tcp", f.nodes[1].FrontPeer); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("connecting to a node that is down: %v", err)
	}
	if err := f.Open(2); err != nil {
		t.Fatal(err)
	}
	send(t, dial(t, f.nodes[1].FrontPeer), "x")
	receive(t, f.take(t), "x")
}

func TestDatagramsComeFromTheFrontOfTheirSender(t *testing.T) {
	f := start(t)
	var at [2]*net.UDPConn
	for i, x := range f.nodes {
		c, err := net.ListenUDP("udp", x.at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		at[i] = c
	}
	front := f.nodes[1].datagrams.LocalAddr().(*net.UDPAddr)
	gossip := func(text string) {
		t.Helper()
		if _, err := at[0].WriteToUDP([]byte(text), front); err != nil {
			t.Fatal(err)
		}
	}
	next := func() string {
		t.Helper()
		buf := make([]byte, 100)
		n, from, err := at[1].ReadFromUDP(buf)
		if err != nil {
			t.Fatal(err)
		}
		if from.String() != f.nodes[0].FrontGossip {
			t.Fatalf("it came from %s, not from %s", from, f.nodes[0].FrontGossip)
		}
		return string(buf[:n])
	}
	gossip("one")
	if got := next(); got != "one" {
		t.Fatal(got)
	}
	f.Drop(1, Pair{1, 2})
	gossip("dropped")
	f.lost(t, 1)
	f.Drop(0, Pair{1, 2})
	f.Cut(Pair{1, 2})
	gossip("cut")
	f.lost(t, 2)
	f.hit(t, Pair{1, 2}, 1)
	f.Heal(false, Pair{1, 2})
	gossip("two")
	if got := next(); got != "two" {
		t.Fatalf("%q passed", got)
	}
}

// lost waits until so many datagrams were lost.
func (f *fixture) lost(t *testing.T, want int) {
	t.Helper()
	await(t, "datagrams lost", want, func() int { return f.Counts().Lost })
}

// hit waits until so much has met a cut.
func (f *fixture) hit(t *testing.T, x Pair, want int) {
	t.Helper()
	await(t, "pieces held up", want, func() int { return f.Hits(x) })
}

func await(t *testing.T, what string, want int, get func() int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); get() != want; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%d %s, want %d", get(), what, want)
		}
	}
}

// child connects from another process.
func child(t *testing.T, to string) (cmd *exec.Cmd, in io.Writer, out io.Reader) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+to)
	w, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	return cmd, w, r
}

func TestAConnectionBelongsToTheProcessThatOpenedIt(t *testing.T) {
	f := start(t)
	f.Cut(Pair{0, 2}) // not of the child
	cmd, in, out := child(t, f.nodes[1].FrontPeer)
	f.pid <- cmd.Process.Pid
	send(t, in, "from the child")
	far := f.take(t)
	receive(t, far, "from the child")
	f.Cut(Pair{2, 1})
	send(t, far, "held up")
	send(t, in, "more")
	receive(t, far, "more")
	f.Heal(false, Pair{2, 1})
	receive(t, out, "held up")
}

func TestWhoIsNotKnownIsClosed(t *testing.T) {
	f := start(t)
	close(f.pid)
	_, _, out := child(t, f.nodes[1].FrontPeer)
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Fatalf("%q, %v", rest, err)
	}
	if n := f.Counts().Unknown; n != 1 {
		t.Errorf("%d connections of strangers, want 1", n)
	}
}

func TestASlowPathTakesItsTime(t *testing.T) {
	p := newPath()
	n := &Network{paths: map[[2]int]*path{{1, 2}: p}}
	n.Slow(Slow{Delay: 10 * time.Millisecond, Rate: 1000}, Pair{1, 2})
	if got, want := p.takes(500), 510*time.Millisecond; got != want {
		t.Errorf("500 bytes take %s, want %s", got, want)
	}
	n.HealAll()
	if got := p.takes(500); got != 0 {
		t.Errorf("500 bytes take %s after healing", got)
	}
	if n := n.Hits(Pair{1, 2}); n != 1 {
		t.Errorf("%d pieces were slow, want 1", n)
	}
}
