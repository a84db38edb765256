package main

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"time"
)

// statusEvery is how often a service manager is told what a start waits for, if that has changed.
const statusEvery = 200 * time.Millisecond

// notifier tells systemd how the broker is, as sd_notify(3) says: one datagram a message to the socket that NOTIFY_SOCKET names.
type notifier struct {
	socket string // "" if nobody asks
	log    *slog.Logger
}

func newNotifier(environ []string, log *slog.Logger) *notifier {
	return &notifier{socket: variable(environ, "NOTIFY_SOCKET"), log: log}
}

// watch tells that the broker is started, then what it waits for until it serves, and when ctx ends that it stops. Started means that its
// settings hold, its ports are open and its data folder is its own. It does not wait for the other brokers: the first of three hosts would
// hang in "systemctl start" until somebody starts the second.
func (n *notifier) watch(ctx context.Context, ready func() error) {
	if n.socket == "" {
		return
	}
	n.tell("READY=1")
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for said := ""; said != "serving"; {
		now := "serving"
		if err := ready(); err != nil {
			now = "not serving yet: " + strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		if now != said {
			n.tell("STATUS=" + now)
			said = now
		}
		select {
		case <-ctx.Done():
			said = "serving"
		case <-tick.C:
		}
	}
	<-ctx.Done()
	n.tell("STOPPING=1\nSTATUS=handing leadership over and stopping")
}

// tell sends one message. A manager that cannot be told does not end the broker: the manager has its own time limit.
func (n *notifier) tell(state string) {
	addr := n.socket
	if strings.HasPrefix(addr, "@") { // the abstract namespace, as the environment spells it
		addr = "\x00" + addr[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err == nil {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // a manager that hangs must not keep a broker from stopping
		_, err = c.Write([]byte(state))
		_ = c.Close() // nothing is buffered
	}
	if err != nil {
		n.log.Warn("the service manager cannot be told", "component", "brokerd", "socket", n.socket, "error", err)
	}
}
