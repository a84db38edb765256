package peer

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// socketOptions has the kernel give a connection up when sent bytes stay unacknowledged for keepaliveTimeout. Without it,
// a connection cut by a network fault retransmits with growing pauses, and is still silent long after the fault healed.
func socketOptions(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(keepaliveTimeout.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}
