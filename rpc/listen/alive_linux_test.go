package listen

import (
	"context"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var quick = alive{idle: time.Second, interval: time.Second, gone: 4 * time.Second}

// pair is a connection with both its ends.
type pair struct{ client, accepted net.Conn }

func connect(t *testing.T, a alive, ended func(string)) pair {
	t.Helper()
	raw, err := a.listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	l := Bound(raw, 1, nil)
	l.Tell(ended)
	var p pair
	if p.client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if p.accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.client.Close(), p.accepted.Close() }) // again, of some
	return p
}

// A client that says nothing is not gone, however long; one whose network is gone is cut off.
func TestAClientThatIsGoneIsCutOffAndOneThatIsStoppedIsNot(t *testing.T) {
	stopped := connect(t, quick, nil)
	var far pair
	var ends []string
	loopback := inNetwork(t, func() { far = connect(t, quick, func(why string) { ends = append(ends, why) }) })
	loopback(false)
	began := time.Now()
	untilEnd(t, far.accepted)
	if d := time.Since(began); d < quick.gone/2 {
		t.Errorf("it was cut off after %v: something else did that", d)
	}
	if _ = far.accepted.Close(); len(ends) != 1 || ends[0] != Gone {
		t.Errorf("its end is told as %q", ends)
	}
	still(t, stopped) // which was silent for longer
}

// While bytes are under way, keepalive asks nothing, and retransmission gives up after a quarter of an hour.
func TestAClientThatIsGoneIsCutOffWhileBytesAreUnderWay(t *testing.T) {
	var p pair
	loopback := inNetwork(t, func() { p = connect(t, quick, nil) })
	loopback(false)
	if _, err := p.accepted.Write([]byte("an answer")); err != nil {
		t.Fatal(err)
	}
	untilEnd(t, p.accepted)
}

// A question or two may get lost, as they do when many connections ask at a time.
func TestOneLostQuestionCutsNobodyOff(t *testing.T) {
	var p pair
	loopback := inNetwork(t, func() { p = connect(t, quick, nil) })
	loopback(false)
	for late := time.Now().Add(10 * time.Second); ; {
		asked := false
		control(t, p.accepted, func(fd int) error {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			asked = err == nil && info.Probes > 1 // the first one is lost, and its time is over
			return err
		})
		if asked {
			break
		}
		if time.Now().After(late) {
			t.Fatal("the system did not ask")
		}
	}
	loopback(true)
	still(t, p)
}

func TestConnectionsThatAreSilentSinceTheSameMomentAskAtDifferentOnes(t *testing.T) {
	if least := clients.idle + clients.spread + 5*clients.interval; clients.gone < least {
		t.Errorf("a client is gone after %v: one that does not answer is to be asked six times, until %v", clients.gone, least)
	}
	idle := map[int]int{}
	for range 50 {
		p := connect(t, clients, nil)
		option := func(name int) (v int) {
			control(t, p.accepted, func(fd int) (err error) {
				v, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, name)
				return err
			})
			return v
		}
		idle[option(unix.TCP_KEEPIDLE)]++
		if v := option(unix.TCP_USER_TIMEOUT); v != int(clients.gone.Milliseconds()) {
			t.Fatalf("the kernel gives up after %d ms", v)
		}
		if v := option(unix.TCP_KEEPINTVL); v != int(clients.interval.Seconds()) {
			t.Fatalf("the kernel asks again after %d s", v)
		}
	}
	for s, n := range idle {
		if d := time.Duration(s) * time.Second; d < clients.idle || d > clients.idle+clients.spread+time.Second || n > 20 {
			t.Errorf("the first questions come after so many seconds, of so many connections: %v", idle)
			break
		}
	}
}

// untilEnd reads until the system ends the connection for want of a client.
func untilEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); reasonOf(err) != Gone {
		t.Fatalf("the connection ended with %v", err)
	}
}

// still makes sure that the connection is there.
func still(t *testing.T, p pair) {
	t.Helper()
	if _, err := p.client.Write([]byte("still there")); err != nil {
		t.Fatal(err)
	}
	if n, err := p.accepted.Read(make([]byte, 100)); err != nil || n == 0 {
		t.Errorf("read %d bytes: %v", n, err)
	}
}

func control(t *testing.T, c net.Conn, f func(fd int) error) {
	t.Helper()
	raw, err := c.(*conn).Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil || ferr != nil {
		t.Fatal(err, ferr)
	}
}

// inNetwork runs f in a network of its own; sockets that f makes stay in it. loopback takes its only interface up and down.
func inNetwork(t *testing.T, f func()) (loopback func(up bool)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a network of its own needs root")
	}
	done := make(chan error, 1)
	control := -1
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			control, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		}
		if err == nil {
			err = setUp(control, true)
		}
		if err == nil {
			defer close(done)
			f()
			return
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Skipf("no network of its own: %v", err)
	}
	if t.Failed() { // in f, which could end its goroutine only
		t.FailNow()
	}
	t.Cleanup(func() { _ = unix.Close(control) })
	return func(up bool) {
		if err := setUp(control, up); err != nil {
			t.Fatal(err)
		}
	}
}

func setUp(fd int, up bool) error {
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if up {
		r.SetUint16(unix.IFF_UP)
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}
