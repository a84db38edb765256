package listen

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// socketOptions are the listening socket's; accepted ones inherit them. The keepalive of TCP is silent while sent bytes wait for their
// acknowledgement, and retransmission alone gives up after a quarter of an hour.
func (a alive) socketOptions(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(a.gone.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}
