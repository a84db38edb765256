package listen

import (
	"context"
	"math/rand/v2"
	"net"
	"time"
)

// alive says how a client that is gone is told from one that is silent.
type alive struct {
	idle     time.Duration // silence after which the system asks,
	spread   time.Duration // and up to so much longer
	interval time.Duration // between its questions, while nobody answers
	gone     time.Duration // silence after which a client is gone that did not answer the last question
}

// clients is what [TCP] uses. A client that is gone is found within gone and an interval, 95 s, and so is one that does not acknowledge
// what was sent.
//
// The systems of both ends ask and answer, not the processes: one that is starved, or stopped for a while, is not gone; unless it is stopped with
// its socket full, for longer than gone, since the kernel may count a closed window as silence. Who is silent
// on purpose would answer gRPC's pings as well, so those are off. The writer of each connection takes a buffer of 256 KiB for its
// one, and 10,000 that wait for a processor hold 2.5 GB; who does not get to answer within the time-out is cut off.
//
// What must hold: gone is several intervals beyond idle + spread. gRPC sets it to the time-out of its pings, 10 s, beside Go's keepalive
// after 15: then the kernel cuts a connection off for one question that got lost. They do get lost when there are many at a time, since a
// queue of 1,000 packets takes them, and connections that were silent since the same moment ask at the same moment: hence spread.
var clients = alive{idle: 20 * time.Second, spread: 20 * time.Second, interval: 5 * time.Second, gone: 90 * time.Second}

// TCP listens on addr for clients. Connections find out by themselves that a client is gone.
func TCP(ctx context.Context, addr string) (net.Listener, error) { return clients.listen(ctx, addr) }

func (a alive) listen(ctx context.Context, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: a.keepAlive(), Control: a.socketOptions}
	lc.SetMultipathTCP(false) // Go's default; its sockets do not take TCP_USER_TIMEOUT
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &asking{Listener: l, alive: a}, nil
}

// keepAlive is one connection's.
func (a alive) keepAlive() net.KeepAliveConfig {
	idle := a.idle + rand.N(a.spread+1)
	// Where socketOptions sets gone, the system does not look at Count.
	return net.KeepAliveConfig{Enable: true, Idle: idle, Interval: a.interval, Count: int((a.gone - idle) / a.interval)}
}

// asking draws for each connection when it asks.
type asking struct {
	net.Listener
	alive alive
}

func (l *asking) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(l.alive.keepAlive()) // fails for what is closed by now
	}
	return c, nil
}
